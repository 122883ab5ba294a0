#include "src/data/cache.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/thread.h"
#include "src/data/records.h"

enum { BLOCK = 4 << 20, VERSION = 1 };
#define ENDIAN 0x01020304u

// At the end of the file, behind ids (padded to 8 bytes), pairs and dropped rows. No padding in it.
struct footer {
    char magic[8];
    uint32_t version, endian;
    struct ds_key key;
    uint64_t n_ids;
    uint32_t n, n_dropped, n_read, n_cut, n_truncated, pair_size;
    uint64_t body;   // digest of what is before
    uint64_t footer; // XXH64 of the fields above
};
static const char MAGIC[8] = "anydpoT";

// ---- digest -------------------------------------------------------------------------------------

void ds_digest_begin(struct ds_digest *d)
{
    hash_begin(&d->all, 0);
    hash_begin(&d->block, 0);
    d->in_block = 0;
}

static void end_block(struct ds_digest *d)
{
    const uint64_t h = hash_end(&d->block);
    hash_add(&d->all, &h, sizeof(h));
    hash_begin(&d->block, 0);
    d->in_block = 0;
}

void ds_digest_add(struct ds_digest *d, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    while (n) {
        const size_t k = (size_t) u64_min(n, BLOCK - d->in_block);
        hash_add(&d->block, p, k);
        d->in_block += k;
        p += k;
        n -= k;
        if (d->in_block == BLOCK)
            end_block(d);
    }
}

uint64_t ds_digest_end(struct ds_digest *d)
{
    if (d->in_block)
        end_block(d);
    return hash_end(&d->all);
}

struct blocks {
    const unsigned char *bytes;
    size_t n;
    const struct file_map *map; // whose pages are given back; NULL: not a map
    uint64_t *hashes;
};

static void hash_blocks(void *user, uint64_t begin, uint64_t end)
{
    const struct blocks *b = user;
    for (uint64_t i = begin; i < end; i++) {
        struct hash h;
        hash_begin(&h, 0);
        hash_add(&h, b->bytes + i * BLOCK, (size_t) u64_min(BLOCK, b->n - i * BLOCK));
        b->hashes[i] = hash_end(&h);
        if (b->map)
            file_map_done_with(b->map, (size_t) (i * BLOCK),
                               (size_t) u64_min(BLOCK, b->n - i * BLOCK));
    }
}

static enum rt_err digest_of(const void *bytes, size_t n, const struct file_map *map, uint64_t *out)
{
    enum rt_err err = RT_OK;
    const size_t k = (size_t) div_up(n, BLOCK);
    struct blocks b = {bytes, n, map, malloc((k + 1) * sizeof(uint64_t))};
    struct hash all;

    RT_REQUIRE(b.hashes, RT_E_NOMEM);
    thread_for(k, 1, hash_blocks, &b);
    hash_begin(&all, 0);
    hash_add(&all, b.hashes, k * sizeof(uint64_t));
    *out = hash_end(&all);
done:
    free(b.hashes);
    return err;
}

enum rt_err ds_digest_of(const void *bytes, size_t n, uint64_t *out)
{
    return digest_of(bytes, n, NULL, out);
}

// ---- key ----------------------------------------------------------------------------------------

static void add_text(struct hash h[2], const char *text)
{
    const uint64_t n = text ? strlen(text) : UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        hash_add(&h[i], &n, sizeof(n));
        hash_add(&h[i], text, text ? (size_t) n : 0);
    }
}

static void add_number(struct hash h[2], uint64_t v)
{
    for (int i = 0; i < 2; i++)
        hash_add(&h[i], &v, sizeof(v));
}

static enum rt_err add_file(struct hash h[2], const struct ds_file *f)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    struct ds_kind kind;
    uint64_t digest;

    RT_TRY(ds_kind_of(f->path, &kind));
    RT_TRY(file_map_open(f->path, &map));
    RT_TRY(digest_of(map.data, map.size, &map, &digest));
    add_number(h, f->part);
    add_number(h, kind.format);
    add_number(h, kind.packing);
    add_number(h, map.size);
    add_number(h, digest);
done:
    file_map_close(&map);
    return err;
}

static void add_part(struct hash h[2], const struct ds_part *p, uint64_t limit)
{
    add_number(h, limit);
    add_number(h, p->select);
    add_number(h, p->n_columns);
    for (uint32_t i = 0; i < p->n_columns; i++) {
        add_text(h, p->columns[i].to);
        add_text(h, p->columns[i].from);
    }
}

enum rt_err ds_key_make(const struct ds_read_args *a, const struct ds_files *files,
                        const uint64_t *limits, struct ds_key *out)
{
    enum rt_err err = RT_OK;
    struct hash h[2];
    uint64_t chat = 0;

    hash_begin(&h[0], 0);
    hash_begin(&h[1], 0x9e3779b97f4a7c15u);
    add_number(h, VERSION);
    add_number(h, txt_tokenizer_digest(a->tok));
    if (a->chat)
        RT_TRY(txt_chat_digest(a->chat, &chat));
    add_number(h, chat);
    add_number(h, a->chat && txt_chat_uses_clock(a->chat) ? (uint64_t) (a->now / 86400) : 0);
    add_number(h, a->max_length);
    add_number(h, a->truncation);
    for (uint32_t i = 0; i < a->n_parts; i++)
        add_part(h, &a->parts[i], limits[i]);
    for (uint32_t i = 0; i < files->n; i++)
        RT_TRY(add_file(h, &files->v[i]));
    *out = (struct ds_key){hash_end(&h[0]), hash_end(&h[1])};
done:
    return err;
}

enum rt_err ds_cache_path(const char *folder, const struct ds_key *key, char **out)
{
    struct str s = {0};
    const enum rt_err err = str_printf(&s, "%s/%016llx%016llx.tokens", folder,
                                       (unsigned long long) key->a, (unsigned long long) key->b);
    *out = s.data;
    return err;
}

// ---- reading ------------------------------------------------------------------------------------

static uint64_t footer_hash(const struct footer *f)
{
    struct hash h;
    hash_begin(&h, 0);
    hash_add(&h, f, offsetof(struct footer, footer));
    return hash_end(&h);
}

// The whole against its footer; NULL if it is as it should be, else what is wrong.
static const char *check(const struct file_map *map, const struct ds_key *key, struct footer *f,
                         uint64_t digest)
{
    const uint64_t body = map->size - sizeof(*f);
    const struct ds_pair *pairs;

    if (f->footer != footer_hash(f) || memcmp(f->magic, MAGIC, sizeof(MAGIC)) != 0)
        return "its end is damaged";
    if (f->version != VERSION || f->endian != ENDIAN || f->pair_size != sizeof(struct ds_pair))
        return "it is another version's";
    if (f->key.a != key->a || f->key.b != key->b)
        return "its name does not fit";
    if (f->n_ids > body / 4 ||
        round_up(f->n_ids * 4, 8) + (uint64_t) f->n * sizeof(*pairs) + f->n_dropped * UINT64_C(4) !=
            body)
        return "it is cut";
    if (f->body != digest)
        return "the checksum differs";
    pairs = (const struct ds_pair *) (const void *) (map->data + round_up(f->n_ids * 4, 8));
    for (uint32_t i = 0; i < f->n; i++)
        if (pairs[i].first > f->n_ids ||
            (uint64_t) pairs[i].prompt + pairs[i].chosen + pairs[i].rejected >
                f->n_ids - pairs[i].first)
            return "it points outside";
    return NULL;
}

enum rt_err ds_cache_open(const char *path, const struct ds_key *key, struct ds_set *out, bool *hit)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    struct footer f;
    const char *wrong = "it is too short";
    uint64_t digest;

    *hit = false;
    *out = (struct ds_set){0};
    if (!file_exists(path) || file_map_open(path, &map) != RT_OK)
        goto done;
    if (map.size >= sizeof(f)) {
        memcpy(&f, map.data + map.size - sizeof(f), sizeof(f));
        RT_TRY(digest_of(map.data, map.size - sizeof(f), &map, &digest));
        wrong = check(&map, key, &f, digest);
    }
    if (wrong) {
        log_warn("%s: %s; the rows are tokenised again", path, wrong);
        goto done;
    }
    unsigned char *base = (unsigned char *) (uintptr_t) map.data;
    const uint64_t at = round_up(f.n_ids * 4, 8);
    *out =
        (struct ds_set){.ids = {(uint32_t *) (void *) base, (size_t) f.n_ids, 0},
                        .pairs = (struct ds_pair *) (void *) (base + at),
                        .dropped = (uint32_t *) (void *) (base + at + f.n * sizeof(struct ds_pair)),
                        .n = f.n,
                        .n_dropped = f.n_dropped,
                        .n_read = f.n_read,
                        .n_cut = f.n_cut,
                        .n_truncated = f.n_truncated,
                        .map = map};
    map = (struct file_map){0};
    *hit = true;
done:
    file_map_close(&map);
    return err;
}

const char *ds_cache_stale(const char *path)
{
    struct file_map map = {0};
    struct footer f = {0};
    const char *stale = NULL;

    if (file_map_open(path, &map) == RT_OK && map.size >= sizeof(f))
        memcpy(&f, map.data + map.size - sizeof(f), sizeof(f));
    if (memcmp(f.magic, MAGIC, sizeof(MAGIC)) != 0)
        stale = "";
    else if (f.version != VERSION || f.endian != ENDIAN || f.pair_size != sizeof(struct ds_pair))
        stale = "another version's";
    file_map_close(&map);
    return stale;
}

// ---- writing ------------------------------------------------------------------------------------

enum rt_err ds_cache_begin(const char *path, struct ds_cache_out *out)
{
    enum rt_err err;

    ds_digest_begin(&out->digest);
    log_capture(&out->why);
    err = file_out_open(path, &out->file);
    log_capture(NULL);
    return err;
}

static enum rt_err put(struct ds_cache_out *c, const void *bytes, size_t n)
{
    enum rt_err err;

    ds_digest_add(&c->digest, bytes, n);
    log_capture(&c->why);
    err = n ? file_out_write(&c->file, bytes, n) : RT_OK;
    log_capture(NULL);
    return err;
}

enum rt_err ds_cache_add(struct ds_cache_out *c, const uint32_t *ids, size_t n)
{
    c->n_ids += n;
    return put(c, ids, n * sizeof(*ids));
}

enum rt_err ds_cache_commit(struct ds_cache_out *c, const struct ds_key *key,
                            const struct ds_set *set)
{
    enum rt_err err = RT_OK;
    struct footer f = {.version = VERSION,
                       .endian = ENDIAN,
                       .key = *key,
                       .n_ids = c->n_ids,
                       .n = set->n,
                       .n_dropped = set->n_dropped,
                       .n_read = set->n_read,
                       .n_cut = set->n_cut,
                       .n_truncated = set->n_truncated,
                       .pair_size = sizeof(struct ds_pair)};

    RT_TRY(put(c, "\0\0\0", c->n_ids % 2 * 4));
    RT_TRY(put(c, set->pairs, set->n * sizeof(*set->pairs)));
    RT_TRY(put(c, set->dropped, set->n_dropped * sizeof(*set->dropped)));
    memcpy(f.magic, MAGIC, sizeof(MAGIC));
    f.body = ds_digest_end(&c->digest);
    f.footer = footer_hash(&f);
    RT_TRY(put(c, &f, sizeof(f)));
    log_capture(&c->why);
    err = file_out_commit(&c->file);
    log_capture(NULL);
done:
    return err;
}

void ds_cache_close(struct ds_cache_out *c)
{
    file_out_close(&c->file);
    str_free(&c->why);
}
