#include "src/text/tokenizer_parts.h"

// ByteLevel's alphabet (GPT-2, bytes_to_unicode): the printable bytes of Latin-1 are themselves,
// the other 68 are U+0100 onwards in order.
uint32_t txt_byte_char(uint8_t byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte >= 0x7f && byte <= 0xa0)
        return 0x121u + (byte - 0x7fu);
    return byte == 0xad ? 0x143u : byte;
}

int txt_char_byte(uint32_t c)
{
    if (c >= 0x100 && c <= 0x120)
        return (int) (c - 0x100);
    if (c >= 0x121 && c <= 0x142)
        return (int) (c - 0x121 + 0x7f);
    if (c == 0x143)
        return 0xad;
    if ((c > 0x20 && c < 0x7f) || (c > 0xa0 && c <= 0xff && c != 0xad))
        return (int) c;
    return -1;
}

bool txt_name_bytes(const char *name, size_t len, struct str *out, enum rt_err *err)
{
    const size_t before = out->len;

    *err = RT_OK;
    for (size_t i = 0; i < len && *err == RT_OK;) {
        uint32_t c;
        int byte;
        i += txt_utf8_get(name + i, &c);
        byte = txt_char_byte(c);
        if (byte < 0) {
            out->len = before;
            return false;
        }
        *err = str_putc(out, (char) byte);
    }
    return true;
}
