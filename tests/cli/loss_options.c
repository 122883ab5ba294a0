// The options of the loss: what they become, and what is refused by name (as TRL's DPOTrainer
// refuses it).
#include "tests/cli/options.h"

static const struct row REFUSED[] = {
    {{{"loss_type", "sigmoyd"}}, "expected of sigmoid, hinge"},
    {{{"loss_type", "[]"}}, "at least one"},
    {{{"loss_type", "[\"sigmoid\", 3]"}}, "item 1"},
    {{{"loss_type", "[\"sigmoid\", \"sft\"]"}, {"loss_weights", "[1.0]"}}, "expected 2 numbers"},
    {{{"loss_type", "sigmoid"}, {"loss_weights", "[1.0, 2.0]"}}, "expected 1 numbers"},
    {{{"loss_type", "[\"sigmoid\", \"sft\"]"}, {"loss_weights", "[1.0, \"much\"]"}}, "item 1"},
    {{{"loss_type", "exo_pair"}}, "exo_pair needs it above 0"},
    {{{"loss_type", "exo_pair"}, {"label_smoothing", "1"}}, "below 1"},
    {{{"loss_type", "robust"}, {"label_smoothing", "0.5"}}, "below 0.5"},
    {{{"loss_type", "nca_pair"}, {"f_divergence_type", "forward_kl"}},
     "not defined for loss_type nca_pair"},
    {{{"loss_type", "bco_pair"}, {"f_divergence_type", "js_divergence"}},
     "not defined for loss_type bco_pair"},
    {{{"loss_type", "sppo_hard"}, {"f_divergence_type", "forward_kl"}},
     "not defined for loss_type sppo_hard"},
    {{{"loss_type", "apo_zero"}, {"f_divergence_type", "forward_kl"}},
     "not defined for loss_type apo_zero"},
    {{{"loss_type", "apo_down"}, {"f_divergence_type", "alpha_divergence"}},
     "not defined for loss_type apo_down"},
    {{{"loss_type", "aot"}, {"f_divergence_type", "forward_kl"}}, "not defined for loss_type aot"},
    {{{"loss_type", "[\"sigmoid\", \"aot_unpaired\"]"}, {"f_divergence_type", "forward_kl"}},
     "aot_unpaired"},
    {{{"use_weighting", "true"}, {"loss_type", "aot"}}, "not defined for loss_type aot"},
    {{{"use_weighting", "true"}, {"loss_type", "aot_unpaired"}},
     "not defined for loss_type aot_unpaired"},
    {{{"use_weighting", "true"}, {"loss_type", "[\"sigmoid\", \"sft\"]"}},
     "not defined for loss_type sft"},
    {{{"loss_type", "simpo"}, {"f_divergence_type", "forward_kl"}},
     "not defined for loss_type simpo"},
    {{{"loss_type", "orpo"}, {"f_divergence_type", "forward_kl"}},
     "not defined for loss_type orpo"},
    {{{"ld_alpha", "0.5"}, {"loss_type", "simpo"}}, "ld_alpha is not defined for loss_type simpo"},
    {{{"use_weighting", "true"}, {"loss_type", "orpo"}},
     "use_weighting is not defined for loss_type orpo"},
    {{{"loss_type", "aot_pair"}}, "aot_unpaired"},
    {{{"loss_type", "kto_pair"}}, "bco_pair"},
    {{{"reference_free", "true"}, {"ref_model_name_or_path", "x"}},
     "ref_model_name_or_path: there is no reference"},
};

static void becomes(void)
{
    struct tr_config c;
    T_OK(options_become(&(struct row){.says = NULL}, &c));
    assert_true(c.loss.n_terms == 1 && c.loss.terms[0].type == OP_LOSS_SIGMOID &&
                c.loss.terms[0].weight == 1.0);
    assert_true(c.loss.divergence == OP_REVERSE_KL && !c.ld && !c.use_weighting);
    T_OK(options_become(&(struct row){.set = {{"loss_type", "[\"ipo\", \"exo_pair\", \"sft\"]"},
                                              {"loss_weights", "[1, 0.5, 2]"},
                                              {"label_smoothing", "0.001"},
                                              {"f_divergence_type", "alpha_divergence"},
                                              {"f_alpha_divergence_coef", "2"}}},
                        &c));
    assert_true(c.loss.n_terms == 3 && c.loss.terms[0].type == OP_LOSS_IPO &&
                c.loss.terms[1].type == OP_LOSS_EXO_PAIR);
    assert_true(c.loss.terms[2].type == OP_LOSS_SFT && c.loss.terms[1].weight == 0.5 &&
                c.loss.terms[2].weight == 2.0);
    assert_true(c.loss.label_smoothing == 0.001 && c.loss.divergence == OP_ALPHA_DIVERGENCE &&
                c.loss.alpha == 2.0);
    T_OK(options_become(
        &(struct row){
            .set = {{"loss_type", "discopop"}, {"discopop_tau", "0.1"}, {"ld_alpha", "0"}}},
        &c));
    assert_true(c.loss.discopop_tau == 0.1 && c.ld && c.ld_alpha == 0.0);
    T_OK(options_become(&(struct row){.set = {{"use_weighting", "true"},
                                              {"loss_type", "[\"sigmoid\", \"bco_pair\"]"}}},
                        &c));
    assert_true(c.use_weighting && c.loss.terms[1].type == OP_LOSS_BCO_PAIR);
    T_OK(options_become(
        &(struct row){.set = {{"loss_type", "[\"simpo\", \"sft\"]"}, {"simpo_gamma", "1.4"}}}, &c));
    assert_true(c.reference_free && c.loss.simpo_gamma == 1.4);
    T_OK(options_become(
        &(struct row){.set = {{"loss_type", "orpo"}, {"ref_model_name_or_path", "x"}}}, &c));
    assert_true(!c.reference_free); // kept for the rewards
    T_OK(options_become(&(struct row){.set = {{"loss_type", "[\"simpo\", \"cdpo\"]"}}}, &c));
    assert_true(!c.reference_free && c.loss.simpo_gamma == 0.5);
    T_OK(options_become(&(struct row){.set = {{"loss_type", "sft"}}}, &c));
    assert_true(!c.reference_free);
    T_OK(options_become(&(struct row){.set = {{"reference_free", "true"}}}, &c));
    assert_true(c.reference_free && c.loss.terms[0].type == OP_LOSS_SIGMOID);
    T_OK(options_become(&(struct row){.set = {{"loss_type", "dpo_norm"}}}, &c));
    assert_true(c.loss.terms[0].type == OP_LOSS_SIGMOID_NORM);
    T_OK(
        options_become(&(struct row){.set = {{"ld_alpha", "0.5"}, {"use_weighting", "true"}}}, &c));
    assert_true(c.ld && c.use_weighting);
    T_OK(options_become(
        &(struct row){.set = {{"ld_alpha", "0.5"}, {"loss_type", "[\"sigmoid\", \"sft\"]"}}}, &c));
    assert_true(c.ld && c.loss.n_terms == 2);
}

static void body(struct t *t)
{
    (void) t;
    options_refuse(REFUSED, COUNT_OF(REFUSED));
    becomes();
}

int main(void)
{
    return t_each_device(body);
}
