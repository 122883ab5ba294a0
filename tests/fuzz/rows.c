// Rows of data files: the first byte chooses format and packing; unpacked, cut into rows and
// parsed, as a set and in small pieces alike.
#include "src/data/records.h"
#include "src/data/row.h"
#include "src/data/source.h"
#include "tests/fuzz/fuzz.h"

static void use_row(const struct ds_records *r, const struct ds_record *rec)
{
    static const struct ds_part PART = {.columns = {{"prompt", "p"}, {"chosen", "chosen"}},
                                        .n_columns = 2};
    struct ds_row row;
    json_t *object;

    if (ds_record_parse(r, rec->text, rec->len, rec->line, &object) != RT_OK) {
        if (object)
            abort();
        return;
    }
    if (ds_row_make(object, "fuzz:1", &row) == RT_OK) {
        if (!row.chosen || !row.rejected || !row.prompt)
            abort();
        ds_row_free(&row);
    }
    if (ds_rename(&PART, "fuzz:1", object) == RT_OK && json_is_object(object) &&
        !json_object_get(object, "prompt"))
        abort();
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fmt_stream *stream = NULL;
    struct ds_records *r = NULL;
    struct ds_record rec;
    uint64_t line = 0;
    size_t total = 0;

    if (size < 1 || fmt_stream_open_memory(data + 1, size - 1, "fuzz",
                                           (enum fmt_packing)(data[0] / 3 % 3), &stream) != RT_OK)
        return 0;
    if (ds_records_open(&stream, (enum ds_format)(data[0] % 3), "fuzz", &r) != RT_OK)
        return 0;
    while (total < 1 << 20 && ds_records_next(r, &rec) == RT_OK && rec.text) {
        if (rec.line < line || rec.line < 1)
            abort();
        line = rec.line;
        total += rec.len + 1;
        use_row(r, &rec);
    }
    ds_records_close(&r);
    return 0;
}
