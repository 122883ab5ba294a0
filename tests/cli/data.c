// Where rows come from, on the command line and in recipes: files mixed, columns by other names,
// TRL's mixture of datasets; what cannot be local is refused by name.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "tests/t.h"

// `before`: commands of the shell in front.
static int inspect_after(const char *before, const char *args, struct str *out, struct str *said)
{
    const char *program = os_env("ANYDPO_PROGRAM"), *source = os_env("ANYDPO_SOURCE");
    struct str command = {0};

    T_OK(str_printf(&command,
                    "%s '%s' inspect --summary --json --model_name_or_path "
                    "'%s/tests/golden/models/llama' --cache_dir rows/cache %s >rows/out 2>rows/err",
                    before, program ? program : "./anydpo", source ? source : ".", args));
    const int status = system(command.data);
    str_clear(out);
    str_clear(said);
    T_OK(file_read("rows/out", out));
    T_OK(file_read("rows/err", said));
    str_free(&command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int inspect(const char *args, struct str *out, struct str *said)
{
    return inspect_after("", args, out, said);
}

static void put(const char *path, const char *text)
{
    T_OK(file_write(path, text, strlen(text)));
}

static void make_files(void)
{
    T_OK(dir_remove("rows"));
    T_OK(dir_make("rows/dir"));
    put("rows/two.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n"
                          "{\"prompt\": \"d\", \"chosen\": \"e\", \"rejected\": \"f\"}\n");
    put("rows/three.csv", "prompt,chosen,rejected\na,b,c\nd,e,f\ng,h,i\n");
    put("rows/other.csv", "question,good,bad,prompt\na,b,c,\nd,e,f,\n");
    put("rows/dir/train.tsv", "prompt\tchosen\trejected\na\tb\tc\n");
    put("rows/dir/test.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n"
                               "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"d\"}\n");
    put("rows/list.yaml", "dataset_name: [rows/two.jsonl, rows/three.csv]\n");
    put("rows/columns.yaml", "dataset_name: rows/other.csv\ncolumns:\n  prompt: question\n"
                             "  chosen: good\n  rejected: bad\n");
    put("rows/mixture.yaml", "datasets:\n- path: json\n  data_files: rows/two.jsonl\n"
                             "- path: rows\n  data_files: [three.csv, two.jsonl]\n"
                             "- path: rows/dir\n  split: test\n"
                             "- path: rows/other.csv\n  columns: {prompt: question, chosen: good, "
                             "rejected: bad}\n");
    put("rows/fractions.yaml", "datasets:\n- path: rows/two.jsonl\n  fraction: 0.5\n"
                               "- path: rows/three.csv\n  fraction: 0.5\n");
    put("rows/half.yaml", "datasets:\n- path: rows/two.jsonl\n  fraction: 0.5\n"
                          "- path: rows/three.csv\n");
    put("rows/name.yaml", "datasets:\n- path: rows/two.jsonl\n  name: en\n");
    put("rows/key.yaml", "datasets:\n- path: rows/two.jsonl\n  revision: main\n");
    put("rows/stream.yaml", "streaming: true\ndataset_name: rows/two.jsonl\n");
    put("rows/slice.yaml", "datasets:\n- path: rows/two.jsonl\n  split: \"train[:10%]\"\n");
    put("rows/glob.yaml", "datasets:\n- path: json\n  data_files: \"rows/*.jsonl\"\n");
    put("rows/globs.yaml",
        "datasets:\n- path: rows\n  data_files: [\"**/t[wh]*.*\", \"*/train.*\"]\n"
        "- path: csv\n  data_files: {train: \"rows/three.*\", test: x}\n"
        "- path: rows/dir\n  data_files: \"*.jsonl\"\n");
    put("rows/url.yaml", "datasets:\n- path: json\n  data_files: \"hf://x/*.jsonl\"\n");
    put("rows/hub.yaml", "datasets:\n- path: org/rows\n- path: org/rows\n  data_files: \"more/*\"\n"
                         "- path: rows/two.jsonl\n");
    put("rows/hubless.yaml", "datasets:\n- path: org/none\n");
    put("rows/testsize.yaml", "test_split_size: 0.1\ndataset_name: rows/two.jsonl\n");
}

// org/rows as the Hub's library keeps it: rows in data/, and some beside them.
static void make_hub(void)
{
    static const char COMMIT[] = "0123456789abcdef0123456789abcdef01234567",
                      ROW[] = "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n";
#define HUB "rows/hub/datasets--org--rows/"
#define SNAPSHOT HUB "snapshots/0123456789abcdef0123456789abcdef01234567/"

    T_OK(dir_make(HUB "refs"));
    T_OK(dir_make(SNAPSHOT "data"));
    T_OK(dir_make(SNAPSHOT "more"));
    put(HUB "refs/main", COMMIT);
    put(SNAPSHOT "README.md", "no row");
    put(SNAPSHOT "data/train-00000-of-00002.jsonl", ROW);
    put(SNAPSHOT "data/train-00001-of-00002.jsonl", ROW);
    put(SNAPSHOT "data/test.jsonl", ROW);
    put(SNAPSHOT "more/a.jsonl", ROW);
    put(SNAPSHOT "more/README.md", "no row");
    T_OK(os_env_set("HF_HUB_CACHE", "rows/hub"));
}

static const struct {
    const char *args;
    int status, rows;     // rows: of a status 0
    const char *names[3]; // all must be in the messages
} ROWS[] = {
    {"--dataset_name rows/two.jsonl rows/three.csv", 0, 5, {"rows/two.jsonl and 1 more"}},
    {"--config rows/list.yaml", 0, 5, {0}},
    {"--dataset_name rows/dir", 0, 1, {0}},
    {"--dataset_name rows/dir --dataset_train_split test", 0, 2, {0}},
    {"--dataset_name rows/dir --dataset_train_split dev", 1, 0, {"rows/dir", "dev.jsonl"}},
    {"--dataset_name rows/other.csv --columns prompt=question,chosen=good,rejected=bad", 0, 2, {0}},
    {"--config rows/columns.yaml", 0, 2, {0}},
    {"--config rows/columns.yaml --columns prompt=question", 1, 0, {"rows/other.csv:2", "chosen"}},
    {"--config rows/columns.yaml --columns prompt", 2, 0, {"columns", "prompt=NAME"}},
    {"--config rows/columns.yaml --columns prompt=nothing", 1, 0, {"nothing", "question"}},
    {"--config rows/mixture.yaml", 0, 11, {0}},
    {"--config rows/mixture.yaml --dataset_name x.jsonl", 0, 11, {"dataset_name is ignored"}},
    {"--config rows/fractions.yaml", 0, 4, {0}},
    {"--config rows/half.yaml", 2, 0, {"fraction", "2 parts"}},
    {"--config rows/name.yaml", 2, 0, {"datasets[0]", "name"}},
    {"--config rows/key.yaml", 2, 0, {"datasets[0]", "revision"}},
    {"--config rows/stream.yaml", 2, 0, {"streaming"}},
    {"--config rows/slice.yaml", 2, 0, {"datasets[0]", "split"}},
    {"--config rows/glob.yaml", 0, 2, {0}},
    {"--config rows/globs.yaml", 0, 11, {0}},
    {"--dataset_name 'rows/t*e*.csv' rows/two.jsonl", 0, 5, {0}},
    {"--dataset_name 'rows/none*.jsonl'", 1, 0, {"rows/none*.jsonl", "no file matches"}},
    {"--config rows/url.yaml", 2, 0, {"datasets[0]", "hf://"}},
    {"--config rows/hub.yaml", 0, 5, {"org/rows is"}},
    {"--config rows/hubless.yaml", 1, 0, {"org/none", "huggingface-cli download"}},
    {"--dataset_name org/rows --dataset_train_split test", 0, 1, {"org/rows is"}},
    {"--config rows/testsize.yaml", 2, 0, {"test_split_size", "eval_dataset_name"}},
    {"--dataset_name rows/none.parquet", 1, 0, {"rows/none.parquet", "to_json"}},
};

static void sources(void **state)
{
    struct str out = {0}, said = {0};
    char want[32];

    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const int status = inspect(ROWS[i].args, &out, &said);
        if (status != ROWS[i].status)
            fail_msg("%s: expected status %d, found %d: %s", ROWS[i].args, ROWS[i].status, status,
                     said.data);
        for (size_t k = 0; k < 3 && ROWS[i].names[k]; k++)
            if (!strstr(said.data, ROWS[i].names[k]))
                fail_msg("%s: the message does not name %s: %s", ROWS[i].args, ROWS[i].names[k],
                         said.data);
        snprintf(want, sizeof(want), "\"rows\": %d,", ROWS[i].rows);
        if (status == 0 && !strstr(out.data, want))
            fail_msg("%s: expected %s found %s", ROWS[i].args, want, out.data);
    }
    str_free(&out);
    str_free(&said);
}

// 300 MB of rows where a process may have 64 MiB of memory that is no file's, and, so that the
// limit is known to be one, cannot do with 4. Columns that do not count make the rows long.
static void larger_than_memory(void **state)
{
    enum { ROWS_N = 3000, NOTE = 100000 };
    struct str out = {0}, said = {0}, row = {0};
    char *note = malloc(NOTE + 1);
    FILE *f = fopen("rows/large.jsonl", "wb");
    (void) state;

    assert_non_null(note);
    assert_non_null(f);
    memset(note, 'x', NOTE);
    note[NOTE] = 0;
    for (int i = 0; i < ROWS_N; i++) {
        str_clear(&row);
        T_OK(str_printf(&row,
                        "{\"note\": \"%s\", \"prompt\": \"a%d\", \"chosen\": \"b\", "
                        "\"rejected\": \"c\"}\n",
                        note, i));
        assert_int_equal(fwrite(row.data, 1, row.len, f), row.len);
    }
    assert_int_equal(fclose(f), 0);
#if defined(__SANITIZE_ADDRESS__)
    print_message("no limit with a sanitizer, which takes more itself\n");
#else
    assert_int_not_equal(
        inspect_after("ulimit -d 4096 && exec", "--dataset_name rows/large.jsonl", &out, &said), 0);
    const int status =
        inspect_after("ulimit -d 65536 && exec", "--dataset_name rows/large.jsonl", &out, &said);
    if (status != 0 || !strstr(out.data, "\"rows\": 3000,"))
        fail_msg("status %d: %s", status, said.data);
#endif
    T_OK(file_remove("rows/large.jsonl"));
    free(note);
    str_free(&row);
    str_free(&out);
    str_free(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sources),
                                       cmocka_unit_test(larger_than_memory)};
    make_files();
    make_hub();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
