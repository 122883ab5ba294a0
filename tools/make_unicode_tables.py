#!/usr/bin/env python3
"""Writes src/text/unicode_tables.c: what the `tokenizers` library takes characters to be.

Usage: make_unicode_tables.py GOLDENS/tokenizers/unicode > src/text/unicode_tables.c
Needs the Python package tokenizers 0.23.3 (asked for each regex class and for what is a word beside a
single_word token), perl with Unicode::UCD (ages and scripts), and the two JSON files of that folder.
"""
import json
import subprocess
import sys

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers

GCS = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
SCRIPTS = "Han Hiragana Katakana Hangul Arabic Thai Latin Cyrillic Greek".split()
STABLE = 14   # the oldest Unicode version of a PCRE2 that is supported (10.40)
NORMAL = 9    # Unicode version of the library's normalization tables
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TEXT = "".join(map(chr, ALL))


def regex_class(pattern):
    return set(ALL) - set(map(ord, normalizers.Replace(Regex(pattern), "").normalize_str(TEXT)))


def perl_map(prop):
    code = 'use Unicode::UCD "prop_invmap"; my ($l, $m) = prop_invmap("%s"); print "$l->[$_] $m->[$_]\n" for 0 .. $#$l;' % prop
    rows = [r.split() for r in subprocess.run(["perl", "-e", code], check=True, capture_output=True, text=True).stdout.splitlines()]
    out = {}
    for (first, value), nxt in zip(rows, rows[1:] + [[0x110000, ""]]):
        for c in range(int(first), int(nxt[0])):
            out[c] = value
    return out


def word_beside():
    """What stops a single_word token: the class \\w of another regex engine than the patterns'."""
    t = Tokenizer(models.WordLevel({"x": 0, "?": 1}, unk_token="?"))
    t.add_tokens([AddedToken("solo", single_word=True, normalized=False)])
    out = set()
    for i in range(0, len(ALL), 20000):
        part = ALL[i:i + 20000]
        out |= {c for c, e in zip(part, t.encode_batch([chr(c) + "solo" for c in part])) if 2 not in e.ids}
    return out


def ranges(table):
    return {c for a, b in table for c in range(a, b + 1)}


def columns(items, width=100):
    lines, line = [], "   "
    for i in items:
        if len(line) + 1 + len(i) > width:
            lines.append(line)
            line = "   "
        line += " " + i
    return "\n".join(lines + [line])


def lower_rows(mapping):
    """(first, last, step, delta) rows of single code points to single code points."""
    pairs = sorted((int(k, 16), int(v, 16)) for k, v in mapping.items() if " " not in v)
    rows = []
    for c, to in pairs:
        if rows:
            r = rows[-1]
            step = c - r[1]
            if to - c == r[3] and step in (1, 2) and (r[0] == r[1] or step == r[2]):
                rows[-1] = (r[0], c, step, r[3])
                continue
        rows.append((c, c, 1, to - c))
    return rows


def main():
    folder = sys.argv[1]
    classes = json.load(open(folder + "/classes.json"))
    norm = json.load(open(folder + "/normalizers.json"))
    age, gc14, script14 = perl_map("Age"), perl_map("General_Category"), perl_map("Script")
    gc, script = {}, {}
    for g in GCS:
        for c in regex_class(r"\p{%s}" % g):
            gc[c] = g
    for s in SCRIPTS:
        for c in regex_class(r"\p{%s}" % s):
            script[c] = s
    space, word, digit = regex_class(r"\s"), regex_class(r"\w"), regex_class(r"\d")
    for name, got in ((r"\s", space), (r"\w", word), (r"\d", digit), (r"\p{Lu}", {c for c in gc if gc[c] == "Lu"})):
        assert got == ranges(classes[name]) - set(range(0xD800, 0xE000)), name
    beside = word_beside()
    numeric = ranges(classes["pre_tokenizer Digits"])
    punct = ranges(classes["pre_tokenizer Punctuation"])
    accents = {int(k, 16) for k, v in norm["StripAccents"].items() if v == ""}
    assert all(v == "" for v in norm["StripAccents"].values())
    assert digit == {c for c in ALL if gc[c] == "Nd"}

    def young(c, version):
        return age[c] == "Unassigned" or float(age[c]) > version

    # The engine's \w is L, M, Nd, Nl, Pc and `more`; regex.c spells that out.
    plain = {c for c in ALL if gc[c][0] in "LM" or gc[c] in ("Nd", "Nl", "Pc")}
    assert plain <= word
    more = sorted(word - plain)

    def moved(c):
        if c < 0x800 and gc[c] == "Cn":
            return False   # no stable stand-in of two bytes; none was assigned for years
        return gc[c] == "Cn" or young(c, STABLE) or gc14[c] != gc[c] or c == 0x180E or \
            (script14[c] if script14[c] in SCRIPTS else None) != script.get(c)

    def size(c):
        return 1 + (c >= 0x80) + (c >= 0x800) + (c >= 0x10000)

    def key(c):
        return gc[c], script.get(c), c in space, c in word
    unstable = {c for c in ALL if moved(c)}
    stand = {("Cn", None, False, False, 3): 0xFDD0, ("Cn", None, False, False, 4): 0x1FFFE}
    good = [0x1F300, 0x20000] + ALL
    for c in good:
        if c not in unstable:
            stand.setdefault(key(c) + (size(c),), c)
    sig, runs, last = {}, [], None
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            s = (0, 0)
        else:
            flags = [n for n, b in (("L", gc[c][0] == "L"), ("N", gc[c][0] == "N"), ("SPACE", c in space), ("NUMERIC", c in numeric),
                                    ("PUNCT", c in punct), ("WORD", c in beside), ("ACCENT", c in accents),
                                    ("INERT", young(c, NORMAL)), ("MOVED", c in unstable)) if b]
            to = 0
            if c in unstable:
                to = stand.get(key(c) + (size(c),))
                if to is None:   # no stable mark of that script: then the category counts
                    to = stand[(gc[c], None) + key(c)[2:] + (size(c),)]
            s = (" | ".join("TXT_" + f for f in flags) or "0", to)
        n = sig.setdefault(s, len(sig))
        if n != last:
            runs.append("0x%X," % (c << 8 | n))
            last = n
    assert len(sig) <= 256
    assert more == [0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE] + [*range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A),
                                                           *range(0x1F150, 0x1F16A), *range(0x1F170, 0x1F18A)]
    print("""// Written by tools/make_unicode_tables.py from the library tokenizers 0.23.3; not edited by hand.
#include "src/text/unicode.h"

// clang-format off
// Signature of a code point: flags, and the stand-in that PCRE2 gets to see for it (0: itself).
const struct txt_char_class txt_char_classes[] = {
%s
};

// Runs of code points with the same signature: first << 8 | signature.
const uint32_t txt_char_runs[] = {
%s
};
const size_t txt_char_runs_n = sizeof(txt_char_runs) / sizeof(txt_char_runs[0]);

// Lower case: first, last, step, what is added. U+0130 alone becomes two characters (unicode.c).
const struct txt_lower_row txt_lower_rows[] = {
%s
};
const size_t txt_lower_rows_n = sizeof(txt_lower_rows) / sizeof(txt_lower_rows[0]);""" % (
        "\n".join("    { %s, 0x%X }," % (f, t) for f, t in sig),
        columns(runs),
        columns("{0x%X,0x%X,%d,%d}," % r for r in lower_rows(norm["Lowercase"]))))
    assert {k for k, v in norm["Lowercase"].items() if " " in v} == {"0130"}


if __name__ == "__main__":
    main()
