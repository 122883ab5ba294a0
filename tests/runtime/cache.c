// Compiled kernels kept on disk: a second start compiles nothing, a damaged file is made anew.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/file.h"
#include "src/op/cast.h"
#include "tests/t.h"

// Open with this cache, cast 100 numbers, look at the result, close.
static struct rt_stats start(struct t *t, const char *cache)
{
    struct rt_dev *dev;
    struct rt_cmd *cmd;
    double *x = t_uniform(t, 100, -9, 9);

    T_OK(rt_dev_open(
        &(struct rt_dev_desc){.name = t_name(t), .kernels = op_kernels(), .cache_dir = cache},
        &dev));
    t_round(x, 100, RT_BF16);
    struct rt_buf *a = t_buf(t, dev, RT_BF16, x, 100), *b = t_output(t, dev, RT_F32, 100);
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_cast(cmd, &(struct op_cast_args){.x = a, .y = b, .n = 100}));
    T_OK(rt_cmd_wait(&cmd));
    t_close_to(t, "cast", b, x, 100, (struct t_tol){.atol = 1e-30});
    const struct rt_stats s = rt_dev_stats(dev);
    t_reset(t);
    rt_dev_close(&dev);
    return s;
}

enum damage { COUNT_FILES, FLIP, CUT, EMPTY, REMOVE };

// Do something to every file of the folder; returns how many there are.
static int damage(const char *folder, enum damage how)
{
    DIR *d = opendir(folder);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct str s = {0};
        char *path;
        if (e->d_name[0] == '.')
            continue;
        n++;
        T_OK(path_join(folder, e->d_name, &path));
        T_OK(file_read(path, &s));
        assert_true(s.len > 64);
        s.data[s.len - 20] ^= (char) (how == FLIP);
        if (how == REMOVE)
            assert_int_equal(unlink(path), 0);
        else if (how != COUNT_FILES)
            T_OK(file_write(path, s.data, how == EMPTY ? 0 : how == CUT ? s.len / 2 : s.len));
        str_free(&s);
        free(path);
    }
    closedir(d);
    return n;
}

static void body(struct t *t)
{
    char folder[] = "/tmp/anydpo-test-XXXXXX";
    struct rt_stats s;

    if (t_on_host(t))
        return; // compiles nothing
    assert_non_null(mkdtemp(folder));
    s = start(t, folder);
    assert_true(s.compiles == 1 && s.cache_hits == 0);
    assert_true(damage(folder, COUNT_FILES) >= 1);
    s = start(t, folder);
    assert_true(s.compiles == 0 && s.cache_hits == 1);
    for (enum damage how = FLIP; how <= REMOVE; how++) {
        damage(folder, how);
        s = start(t, folder);
        assert_true(s.compiles == 1 && s.cache_hits == 0);
        s = start(t, folder);
        assert_true(s.compiles == 0 && s.cache_hits == 1);
    }
    s = start(t, NULL); // no folder
    assert_true(s.compiles == 1 && s.cache_hits == 0);
    damage(folder, REMOVE);
    assert_int_equal(rmdir(folder), 0);
    t_logged();
    s = start(t, folder); // a folder that is gone costs a compilation and a warning
    assert_true(s.compiles == 1 && s.cache_hits == 0);
}

int main(void)
{
    return t_each_device(body);
}
