"""Sizes of a model, under the names of the published config.json (docs/spec/model.md section 1)."""

import json

BOS_ID, EOS_ID, PAD_ID, UNKNOWN_ID = range(4)  # as the tokenizer numbers them
NOISE_ID = 22  # what fills the places of a DSpark block that are still to be drafted


class Config(dict):
    """A config.json whose keys are attributes too."""

    __getattr__ = dict.__getitem__

    @staticmethod
    def load(path):
        with open(path, encoding="utf-8") as file:
            return Config(json.load(file))

    def changed(self, **changes):
        return Config(self, **changes)


def nano_config():
    """The shipped v4-nano with one MTP block."""
    return Config(
        architectures=["DeepseekV4ForCausalLM"],
        attention_bias=False,
        attention_dropout=0.0,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        expert_dtype="fp4",
        hc_eps=1e-6,
        hc_mult=4,
        hc_sinkhorn_iters=20,
        head_dim=128,
        hidden_act="silu",
        hidden_size=256,
        index_head_dim=64,
        index_n_heads=2,
        index_topk=64,
        initializer_range=0.02,
        max_position_embeddings=131072,
        model_type="deepseek_v4",
        moe_intermediate_size=128,
        n_routed_experts=8,
        n_shared_experts=1,
        norm_topk_prob=True,
        num_attention_heads=4,
        num_experts_per_tok=2,
        num_hidden_layers=5,
        num_hash_layers=1,
        num_key_value_heads=1,
        num_nextn_predict_layers=1,
        o_groups=2,
        o_lora_rank=64,
        q_lora_rank=64,
        qk_rope_head_dim=64,
        quantization_config=dict(
            activation_scheme="dynamic",
            fmt="e4m3",
            quant_method="fp8",
            scale_fmt="ue8m0",
            weight_block_size=[128, 128],
        ),
        rms_norm_eps=1e-6,
        rope_scaling=dict(
            beta_fast=32, beta_slow=1, factor=4, original_max_position_embeddings=2048, type="yarn"
        ),
        rope_theta=10000,
        routed_scaling_factor=1.5,
        scoring_func="sqrtsoftplus",
        sliding_window=64,
        swiglu_limit=10.0,
        tie_word_embeddings=False,
        topk_method="noaux_tc",
        torch_dtype="bfloat16",
        transformers_version="4.57.1",
        use_cache=True,
        vocab_size=2048,
        compress_rope_theta=160000,
        compress_ratios=[0, 4, 128, 4, 4, 0],
    )


def tiny_config():
    """Every part of the architecture in 0.9 million weights: for tests and for comparing optimizers on a
    CPU."""
    return nano_config().changed(
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=2,
        q_lora_rank=32,
        o_lora_rank=32,
        n_routed_experts=4,
        moe_intermediate_size=64,
        index_topk=16,
        compress_ratios=[0, 4, 128, 0],
    )


SIZES = {"nano": nano_config, "tiny": tiny_config}


def with_draft(config, block=5, rank=64, stages=3):
    """The config of a checkpoint with a DSpark draft instead of the MTP block (docs/spec/dspark.md 1.8)."""
    layers = config.num_hidden_layers
    return config.changed(
        compress_ratios=config.compress_ratios[:layers] + [0] * stages,
        dspark_block_size=block,
        dspark_noise_token_id=NOISE_ID,
        dspark_target_layer_ids=list(range(layers - stages, layers)),
        dspark_markov_rank=rank,
    )
