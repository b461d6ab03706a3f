#include "core/model_config.h"

#include <gtest/gtest.h>

#include "tests/core/config_case.h"

namespace ft {
namespace {

using nlohmann::json;

TEST(ModelConfig, ReadsFlash) {
  const std::string path = FT_TEST_DATA "/configs/flash/config.json";
  const auto config = ModelConfig::parse(file_bytes(path), path);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->vocab_size, 129280);
  EXPECT_EQ(config->hidden_size, 4096);
  EXPECT_EQ(config->num_hidden_layers, 43);
  EXPECT_EQ(config->num_nextn_predict_layers, 1);
  EXPECT_EQ(config->num_hash_layers, 3);
  EXPECT_EQ(config->num_attention_heads, 64);
  EXPECT_EQ(config->head_dim, 512);
  EXPECT_EQ(config->qk_rope_head_dim, 64);
  EXPECT_EQ(config->q_lora_rank, 1024);
  EXPECT_EQ(config->o_groups, 8);
  EXPECT_EQ(config->o_lora_rank, 1024);
  EXPECT_EQ(config->sliding_window, 128);
  ASSERT_EQ(config->compress_ratios.size(), 44u);
  EXPECT_EQ(config->compress_ratios[2], 4);
  EXPECT_EQ(config->compress_ratios[3], 128);
  EXPECT_EQ(config->index_n_heads, 64);
  EXPECT_EQ(config->index_head_dim, 128);
  EXPECT_EQ(config->index_topk, 512);
  EXPECT_EQ(config->moe_intermediate_size, 2048);
  EXPECT_EQ(config->n_routed_experts, 256);
  EXPECT_EQ(config->num_experts_per_tok, 6);
  EXPECT_EQ(config->routed_scaling_factor, 1.5f);
  EXPECT_EQ(config->swiglu_limit, 10.0f);
  EXPECT_EQ(config->rms_norm_eps, 1e-6f);
  EXPECT_EQ(config->hc_mult, 4);
  EXPECT_EQ(config->hc_mix_size(), 24);
  EXPECT_EQ(config->hc_sinkhorn_iters, 20);
  EXPECT_EQ(config->hc_eps, 1e-6f);
  EXPECT_EQ(config->rope_theta, 10000.0);
  EXPECT_EQ(config->compress_rope_theta, 160000.0);
  EXPECT_EQ(config->rope_scaling.factor, 16.0);
  EXPECT_EQ(config->rope_scaling.beta_fast, 32.0);
  EXPECT_EQ(config->rope_scaling.beta_slow, 1.0);
  EXPECT_EQ(config->rope_scaling.original_max_position_embeddings, 65536);
  EXPECT_EQ(config->max_position_embeddings, 1048576);
  EXPECT_TRUE(config->experts_fp4);
  EXPECT_EQ(config->bos_token_id, 0);
  EXPECT_EQ(config->eos_token_ids, std::vector<int>{1});
  EXPECT_FALSE(config->has_dspark());
}

TEST(ModelConfig, ReadsEveryPublishedAndTestConfig) {
  struct Case {
    const char* path;
    int layers;
    int mtp;
    int stages;
  };
  const Case cases[] = {
      {FT_TEST_DATA "/configs/pro/config.json", 61, 1, 0},
      {FT_TEST_DATA "/configs/flash-dspark/config.json", 43, 0, 3},
      {FT_TEST_DATA "/configs/pro-dspark/config.json", 61, 0, 3},
      {FT_TEST_DATA "/goldens/tiny-v4/config.json", 6, 1, 0},
      {FT_TEST_DATA "/goldens/tiny-v4-r128/config.json", 3, 1, 0},
      {FT_TEST_DATA "/goldens/tiny-v4-dspark/config.json", 3, 0, 3},
      {FT_MODELS "/v4-nano/config.json", 5, 1, 0},
      {FT_MODELS "/v4-nano-dspark/config.json", 5, 0, 3},
  };
  for (const Case& c : cases) {
    const auto config = ModelConfig::parse(file_bytes(c.path), c.path);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->num_hidden_layers, c.layers) << c.path;
    EXPECT_EQ(config->num_nextn_predict_layers, c.mtp) << c.path;
    EXPECT_EQ(config->dspark.stage_count, c.stages) << c.path;
    EXPECT_EQ(config->has_dspark(), c.stages > 0) << c.path;
  }
}

TEST(ModelConfig, ReadsTheDsparkKeys) {
  const auto config = parse(tiny("tiny-v4-dspark"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->dspark.block_size, 5);
  EXPECT_EQ(config->dspark.noise_token_id, 509);
  EXPECT_EQ(config->dspark.markov_rank, 64);
  EXPECT_EQ(config->dspark.target_layer_ids, (std::vector<int>{0, 1, 2}));
}

TEST(ModelConfig, WhatIsAbsentIsAssumedWithAWarning) {
  struct Case {
    const char* key;
    const char* warning;  // "" where the absence changes no number
  };
  for (const Case& c :
       {Case{"rms_norm_eps", "has no rms_norm_eps; 1e-06 is assumed"},
        Case{"hc_eps", "has no hc_eps; 1e-06 is assumed"},
        Case{"rope_scaling", "has neither rope_scaling nor rope_parameters; no YaRN is assumed"},
        Case{"expert_dtype", ""}, Case{"attention_bias", ""}, Case{"torch_dtype", ""}}) {
    json value = tiny();
    ASSERT_EQ(value.erase(c.key), 1u) << c.key;
    std::vector<std::string> warnings;
    const auto config = parse(value, &warnings);
    ASSERT_TRUE(config) << config.error().message;
    ASSERT_EQ(warnings.size(), *c.warning == 0 ? 0u : 1u) << c.key;
    if (*c.warning != 0) {
      EXPECT_NE(warnings[0].find(c.warning), std::string::npos) << warnings[0];
    }
    EXPECT_EQ(config->rms_norm_eps, 1e-6f);
    EXPECT_EQ(config->hc_eps, 1e-6f);
    EXPECT_EQ(config->rope_scaling.factor, value.contains("rope_scaling") ? 4.0 : 1.0);
    EXPECT_EQ(config->experts_fp4, value.contains("expert_dtype"));
  }
}

TEST(ModelConfig, EveryRequiredKeyIsMissed) {
  for (const char* key : {"architectures",
                          "model_type",
                          "vocab_size",
                          "hidden_size",
                          "num_hidden_layers",
                          "num_nextn_predict_layers",
                          "num_hash_layers",
                          "num_attention_heads",
                          "num_key_value_heads",
                          "head_dim",
                          "qk_rope_head_dim",
                          "q_lora_rank",
                          "o_groups",
                          "o_lora_rank",
                          "sliding_window",
                          "compress_ratios",
                          "index_n_heads",
                          "index_head_dim",
                          "index_topk",
                          "moe_intermediate_size",
                          "n_routed_experts",
                          "n_shared_experts",
                          "num_experts_per_tok",
                          "scoring_func",
                          "routed_scaling_factor",
                          "norm_topk_prob",
                          "topk_method",
                          "swiglu_limit",
                          "hc_mult",
                          "hc_sinkhorn_iters",
                          "rope_theta",
                          "compress_rope_theta",
                          "max_position_embeddings",
                          "quantization_config",
                          "tie_word_embeddings",
                          "bos_token_id",
                          "eos_token_id",
                          "hidden_act"}) {
    json value = tiny();
    ASSERT_EQ(value.erase(key), 1u) << key;
    expect_refused(value, {"missing key", key}, key);
  }
  for (const char* key : {"factor", "beta_fast", "beta_slow", "original_max_position_embeddings"}) {
    json value = tiny();
    ASSERT_EQ(value["rope_scaling"].erase(key), 1u) << key;
    expect_refused(value, {"missing key", std::string("rope_scaling.") + key}, key);
  }
  {
    json value = tiny();
    value["rope_scaling"].erase("type");
    expect_refused(value, {"missing key rope_scaling.rope_type"}, "type");
  }
  for (const char* key : {"quant_method", "weight_block_size"}) {
    json value = tiny();
    ASSERT_EQ(value["quantization_config"].erase(key), 1u) << key;
    expect_refused(value, {"missing key", std::string("quantization_config.") + key}, key);
  }
  for (const char* key :
       {"dspark_block_size", "dspark_noise_token_id", "dspark_target_layer_ids", "dspark_markov_rank"}) {
    json value = tiny("tiny-v4-dspark");
    ASSERT_EQ(value.erase(key), 1u) << key;
    expect_refused(value, {"missing key", key}, key);
  }
}

struct BadValue {
  const char* key;  // JSON pointer
  const char* value;
  const char* expected;  // part of the message
};

void check_bad_value(json value, const BadValue& bad) {
  value[json::json_pointer(bad.key)] = json::parse(bad.value);
  // The last part of the pointer is the key; list entries are shown with their whole list.
  std::string key = bad.key;
  key = key.substr(key.rfind('/') + 1);
  expect_refused(value, {key, bad.expected}, std::string(bad.key) + " = " + bad.value);
}

TEST(ModelConfig, BadValuesAreRefusedByName) {
  const BadValue values[] = {
      {"/architectures", R"(["DeepseekV3ForCausalLM"])", "DeepseekV4ForCausalLM"},
      {"/architectures", "\"DeepseekV4ForCausalLM\"", "[\"DeepseekV4ForCausalLM\"]"},
      {"/model_type", "\"llama\"", "\"llama\", expected \"deepseek_v4\""},
      {"/vocab_size", "\"512\"", "is \"512\", expected an integer"},
      {"/vocab_size", "512.0", "expected an integer"},
      {"/vocab_size", "0", "is 0, expected"},
      {"/vocab_size", "-512", "is -512, expected"},
      {"/vocab_size", "99999999999", "is 99999999999, expected"},
      {"/vocab_size", "18446744073709551615", "expected an integer"},
      {"/hidden_size", "0", "expected an integer from 1"},
      {"/hidden_size", "250", "a multiple of 32 for fp4 experts"},
      {"/hidden_size", "1073741824", "to 131072"},
      {"/hidden_size", "null", "is null"},
      {"/hidden_size", "[256]", "is [256]"},
      {"/hidden_size", "true", "is true"},
      {"/num_hidden_layers", "0", "expected an integer from 1"},
      {"/num_hidden_layers", "1000000", "expected an integer from 1"},
      {"/num_nextn_predict_layers", "-1", "expected an integer from 0"},
      {"/num_hash_layers", "7", "from 0 to 6"},
      {"/num_attention_heads", "0", "from 1"},
      {"/num_attention_heads", "3", "a multiple of o_groups 2"},
      {"/num_key_value_heads", "4", "is 4, expected 1"},
      {"/num_key_value_heads", "1.0", "is 1.0, expected 1"},
      {"/head_dim", "64", "qk_rope_head_dim 64 plus a positive multiple of 64"},
      {"/head_dim", "32", "positive multiple of 64"},
      {"/head_dim", "160", "positive multiple of 64"},
      {"/qk_rope_head_dim", "63", "an even number"},
      {"/qk_rope_head_dim", "0", "from 2"},
      {"/q_lora_rank", "0", "from 1"},
      {"/o_groups", "0", "from 1"},
      {"/o_lora_rank", "-64", "from 1"},
      {"/sliding_window", "0", "from 1"},
      {"/sliding_window", "65536", "from 1 to 4096"},
      {"/index_topk", "1048576", "from 1 to 16384"},
      {"/compress_ratios", "[0,4,16,0,4]",
       "6 entries for num_hidden_layers and up to 16 for draft blocks, not 5"},
      {"/compress_ratios", "[0,4,16,0,4,16,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", "not 23"},
      {"/compress_ratios", "[0,4,-16,0,4,16,0]", "a list of integers from 0"},
      {"/compress_ratios", "[0,4,16.5,0,4,16,0]", "a list of integers from 0"},
      {"/compress_ratios", "[0,4,18446744073709551615,0,4,16,0]", "a list of integers from 0"},
      {"/compress_ratios", "[0,4,16,0,4,16,4]", "0 for MTP blocks and draft stages (entry 6)"},
      {"/compress_ratios", "4", "a list of integers"},
      {"/index_n_heads", "0", "from 1"},
      {"/index_head_dim", "96", "a power of two"},
      {"/index_head_dim", "16", "at least 32"},
      {"/index_head_dim", "32", "at least qk_rope_head_dim 64"},
      {"/index_topk", "0", "from 1"},
      {"/moe_intermediate_size", "100", "a multiple of 32 for fp4 experts"},
      {"/moe_intermediate_size", "0", "from 1"},
      {"/n_routed_experts", "0", "from 1"},
      {"/n_routed_experts", "1000000000", "to 4096"},
      {"/n_shared_experts", "2", "is 2, expected 1"},
      {"/num_experts_per_tok", "9", "from 1 to 8"},
      {"/num_experts_per_tok", "0", "from 1 to 8"},
      {"/scoring_func", "\"softmax\"", "expected \"sqrtsoftplus\""},
      {"/topk_method", "\"greedy\"", "expected \"noaux_tc\""},
      {"/norm_topk_prob", "false", "expected true"},
      {"/hidden_act", "\"gelu\"", "expected \"silu\""},
      {"/tie_word_embeddings", "true", "expected false"},
      {"/attention_bias", "true", "expected false"},
      {"/n_group", "8", "expected 1"},
      {"/topk_group", "4", "expected 1"},
      {"/first_k_dense_replace", "3", "expected 0"},
      {"/routed_scaling_factor", "0", "a number over"},
      {"/routed_scaling_factor", "\"2.5\"", "a number over"},
      {"/swiglu_limit", "-1", "a number over"},
      {"/rms_norm_eps", "0", "a number over"},
      {"/hc_eps", "1", "at most 0.1"},
      {"/hc_mult", "0", "from 1 to 16"},
      {"/hc_mult", "17", "from 1 to 16"},
      {"/hc_sinkhorn_iters", "0", "from 1"},
      {"/rope_theta", "1", "a number over 1"},
      {"/compress_rope_theta", "-5", "a number over 1"},
      {"/rope_scaling", "\"yarn\"", "an object"},
      {"/rope_scaling/type", "\"linear\"", "expected \"yarn\""},
      {"/rope_scaling/factor", "0.5", "at least 1"},
      {"/rope_scaling/factor", "-4", "a number over"},
      {"/rope_scaling/beta_slow", "64", "at most beta_fast, 32"},
      {"/rope_scaling/original_max_position_embeddings", "0", "from 1"},
      {"/max_position_embeddings", "0", "from 1"},
      {"/max_position_embeddings", "9223372036854775807", "to 16777216"},
      {"/expert_dtype", "\"int4\"", "\"fp4\", \"fp8\" or no such key"},
      {"/expert_dtype", "4", "\"fp4\", \"fp8\" or no such key"},
      {"/quantization_config", "[]", "an object"},
      {"/quantization_config/fmt", "\"e5m2\"", "expected \"e4m3\""},
      {"/quantization_config/quant_method", "\"gptq\"", "expected \"fp8\""},
      {"/quantization_config/scale_fmt", "\"float\"", "expected \"ue8m0\""},
      {"/quantization_config/weight_block_size", "[64,64]", "expected [128,128]"},
      {"/quantization_config/activation_scheme", "\"static\"", "expected \"dynamic\""},
      {"/bos_token_id", "512", "from 0 to 511"},
      {"/eos_token_id", "-1", "from 0 to 511"}};
  for (const BadValue& bad : values) check_bad_value(tiny(), bad);
}

TEST(ModelConfig, BadDsparkValuesAreRefusedByName) {
  const BadValue values[] = {
      {"/dspark_block_size", "0", "from 1 to 64"},
      {"/dspark_block_size", "65", "from 1 to 64"},
      {"/dspark_noise_token_id", "512", "from 0 to 511"},
      {"/dspark_markov_rank", "0", "from 1"},
      {"/dspark_target_layer_ids", "[]", "at least one layer, in ascending order"},
      {"/dspark_target_layer_ids", "[0,2,1]", "ascending"},
      {"/dspark_target_layer_ids", "[0,0,1]", "ascending"},
      {"/dspark_target_layer_ids", "[0,1,3]", "from 0 to 2"},
      {"/dspark_target_layer_ids", "[-1,1]", "from 0 to 2"},
      {"/compress_ratios", "[0,4]", "3 entries for num_hidden_layers and up to 16 for draft blocks, not 2"},
      {"/compress_ratios", "[0,4,16,0,128,0]", "0 for MTP blocks and draft stages (entry 4)"},
      {"/markov_head_type", "\"gated\"", "expected \"vanilla\""},
      {"/sample_from_anchor", "false", "expected true"},
      {"/enable_confidence_head", "false", "expected true"}};
  for (const BadValue& bad : values) check_bad_value(tiny("tiny-v4-dspark"), bad);
}

TEST(ModelConfig, ExpertsOfAllBlocksAreBounded) {
  json value = tiny();
  value["num_hidden_layers"] = 512;
  value["n_routed_experts"] = 4096;
  value["compress_ratios"] = std::vector<int>(513, 0);
  expect_refused(value, {"n_routed_experts", "at most 131072 experts in all 513 blocks"}, "too many experts");
}

TEST(ModelConfig, TextThatIsNoConfigIsRefused) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "not valid JSON"},
      {"{\"vocab_size\": 5", "not valid JSON (at byte"},
      {"[1, 2]", "expected a JSON object"},
      {"{\"vocab_size\": 1e999}", "not valid JSON"},
      {"{\"vocab_size\": 5, \"vocab_size\": 6}", "\"vocab_size\" appears twice"},
      {"{}", "missing key architectures"},
      {"{\"a\": \"\xff\"}", "not valid JSON"},
      {"{\"a\": " + std::string(100'000, '['), "nested deeper than 64"},
  };
  for (const auto& [text, expected] : cases) {
    const auto config = ModelConfig::parse(text, kPath);
    ASSERT_FALSE(config);
    EXPECT_NE(config.error().message.find(expected), std::string::npos) << config.error().message;
    EXPECT_NE(config.error().message.find(kPath), std::string::npos) << config.error().message;
    EXPECT_LT(config.error().message.size(), 400u);
  }
}

}  // namespace
}  // namespace ft
