// The spellings of config.json that exist in public, and what is not a DeepSeek-V4.
#include <gtest/gtest.h>

#include <functional>

#include "tests/core/config_case.h"

namespace ft {
namespace {

// A published config, and the same in another spelling.
struct Spelling {
  const char* what;
  std::function<void(json&)> change;
};

json yarn_of(const json& value) {
  json yarn = value["rope_scaling"];
  yarn.erase("type");
  yarn["rope_type"] = "yarn";
  return yarn;
}

json nested_rope(const json& value, const char* main, const std::vector<const char*>& compressed) {
  json nested;
  nested[main] = {{"rope_type", "default"}, {"rope_theta", value["rope_theta"]}};
  for (const char* name : compressed) {
    nested[name] = yarn_of(value);
    nested[name]["rope_theta"] = value["compress_rope_theta"];
  }
  return nested;
}

void without(json& value, std::initializer_list<const char*> keys) {
  for (const char* key : keys) ASSERT_EQ(value.erase(key), 1u) << key;
}

json layer_types(const json& value) {
  json types = json::array();
  for (int i = 0; i < value["num_hidden_layers"]; ++i) {
    const int ratio = value["compress_ratios"][static_cast<size_t>(i)];
    types.push_back(ratio == 0   ? "sliding_attention"
                    : ratio == 4 ? "compressed_sparse_attention"
                                 : "heavily_compressed_attention");
  }
  return types;
}

TEST(ConfigForms, EverySpellingOfAModelIsTheSameModel) {
  const Spelling spellings[] = {
      {"rope_type for type", [](json& v) { v["rope_scaling"] = yarn_of(v); }},
      {"both names of the type", [](json& v) { v["rope_scaling"]["rope_type"] = "yarn"; }},
      {"flat rope_parameters",
       [](json& v) {
         v["rope_parameters"] = yarn_of(v);
         without(v, {"rope_scaling"});
       }},
      {"flat rope_parameters with the base",
       [](json& v) {
         v["rope_parameters"] = yarn_of(v);
         v["rope_parameters"]["rope_theta"] = v["rope_theta"];
         without(v, {"rope_scaling", "rope_theta"});
       }},
      {"rope_parameters main and compress",
       [](json& v) {
         v["rope_parameters"] = nested_rope(v, "main", {"compress"});
         v["rope_parameters"]["compress"]["attention_factor"] = 1.0;
         without(v, {"rope_scaling", "rope_theta", "compress_rope_theta"});
       }},
      {"rope_parameters per kind of layer",
       [](json& v) {
         v["rope_parameters"] = nested_rope(v, "sliding_attention",
                                            {"compressed_sparse_attention", "heavily_compressed_attention"});
         without(v, {"rope_scaling", "rope_theta", "compress_rope_theta"});
       }},
      {"rope_parameters beside rope_scaling",
       [](json& v) { v["rope_parameters"] = nested_rope(v, "main", {"compress"}); }},
      {"partial_rotary_factor",
       [](json& v) {
         v["partial_rotary_factor"] = v["qk_rope_head_dim"].get<double>() / v["head_dim"].get<double>();
         without(v, {"qk_rope_head_dim"});
       }},
      {"layer_types and compress_rates",
       [](json& v) {
         v["layer_types"] = layer_types(v);
         v["compress_rates"] = {{"compressed_sparse_attention", 4}, {"heavily_compressed_attention", 16}};
         without(v, {"compress_ratios"});
       }},
      {"layer_types beside compress_ratios",
       [](json& v) {
         v["layer_types"] = layer_types(v);
         v["compress_rates"] = {{"compressed_sparse_attention", 4}, {"heavily_compressed_attention", 16}};
       }},
      {"mlp_layer_types",
       [](json& v) {
         v["mlp_layer_types"] = {"hash_moe", "hash_moe", "moe", "moe", "moe", "moe"};
         without(v, {"num_hash_layers"});
       }},
      {"a list of one end token", [](json& v) { v["eos_token_id"] = {v["eos_token_id"]}; }},
      {"no scale_fmt, no fmt",
       [](json& v) {
         v["quantization_config"].erase("scale_fmt");
         v["quantization_config"].erase("fmt");
       }},
      {"scale_fmt null", [](json& v) { v["quantization_config"]["scale_fmt"] = nullptr; }},
  };
  const auto published = parse(tiny());
  ASSERT_TRUE(published) << published.error().message;
  EXPECT_EQ(published->rope_scaling.factor, 4.0);
  for (const Spelling& spelling : spellings) {
    SCOPED_TRACE(spelling.what);
    json value = tiny();
    spelling.change(value);
    std::vector<std::string> warnings;
    const auto config = parse(value, &warnings);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_TRUE(*config == *published);
    EXPECT_EQ(warnings, std::vector<std::string>());
  }
}

TEST(ConfigForms, ADsparkModelInLayerTypesIsTheSameModel) {
  json value = tiny("tiny-v4-dspark");
  const auto published = parse(value);
  ASSERT_TRUE(published) << published.error().message;
  value["layer_types"] = layer_types(value);
  value["compress_rates"] = {{"compressed_sparse_attention", 4}, {"heavily_compressed_attention", 16}};
  value["num_nextn_predict_layers"] = 3;  // the stages, where no list counts them
  value.erase("compress_ratios");
  const auto config = parse(value);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(*config == *published);
}

TEST(ConfigForms, DraftBlocksAreCountedWhereverTheyAre) {
  struct Case {
    std::vector<int> ratios;
    int blocks;
    bool warned;
  };
  for (const Case& c : {Case{{0, 4, 16, 0, 4, 16}, 1, true}, Case{{0, 4, 16, 0, 4, 16, 0}, 1, false},
                        Case{{0, 4, 16, 0, 4, 16, 0}, 3, true}, Case{{0, 4, 16, 0, 4, 16, 0, 0, 0}, 3, false},
                        Case{{0, 4, 16, 0, 4, 16}, 0, false}}) {
    json value = tiny();
    value["compress_ratios"] = c.ratios;
    value["num_nextn_predict_layers"] = c.blocks;
    std::vector<std::string> warnings;
    const auto config = parse(value, &warnings);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->num_nextn_predict_layers, c.blocks);
    EXPECT_EQ(config->compress_ratios.size(), 6u + static_cast<size_t>(c.blocks));
    EXPECT_EQ(!warnings.empty(), c.warned);
  }
  json dspark = tiny("tiny-v4-dspark");
  dspark["compress_ratios"] = {0, 4, 16};
  dspark["num_nextn_predict_layers"] = 3;
  const auto counted = parse(dspark);
  ASSERT_TRUE(counted) << counted.error().message;
  EXPECT_TRUE(*counted == *parse(tiny("tiny-v4-dspark")));
  dspark["num_nextn_predict_layers"] = 0;
  expect_refused(dspark, {"num_nextn_predict_layers is 0, expected the DSpark stages"}, "no stages");
}

TEST(ConfigForms, SpellingsThatContradictEachOtherAreRefused) {
  const auto refused = [](const char* what, const std::function<void(json&)>& change,
                          const std::vector<std::string>& fragments) {
    json value = tiny();
    change(value);
    expect_refused(value, fragments, what);
  };
  refused("two factors",
          [](json& v) {
            v["rope_parameters"] = yarn_of(v);
            v["rope_parameters"]["factor"] = 8;
          },
          {"two things about YaRN"});
  refused("two bases",
          [](json& v) {
            v["rope_parameters"] = nested_rope(v, "main", {"compress"});
            v["rope_parameters"]["compress"]["rope_theta"] = 12345;
          },
          {"two things about compress_rope_theta"});
  refused("two kinds of compressed layers",
          [](json& v) {
            v["rope_parameters"] =
                nested_rope(v, "main", {"compressed_sparse_attention", "heavily_compressed_attention"});
            v["rope_parameters"]["heavily_compressed_attention"]["factor"] = 8;
          },
          {"two things about the rope_type"});
  refused("YaRN in the main layers",
          [](json& v) {
            v["rope_parameters"] = nested_rope(v, "main", {"compress"});
            v["rope_parameters"]["main"] = yarn_of(v);
          },
          {"rope_parameters.main.rope_type is \"yarn\", expected \"default\""});
  refused("only the main layers",
          [](json& v) {
            v["rope_parameters"] = {{"main", {{"rope_type", "default"}}}};
            v.erase("rope_scaling");
          },
          {"missing key rope_parameters.compress"});
  refused("scaled attention", [](json& v) { v["rope_scaling"]["attention_factor"] = 1.2; },
          {"rope_scaling.attention_factor is 1.2, expected 1"});
  refused("two types", [](json& v) { v["rope_scaling"]["rope_type"] = "default"; }, {"rope_scaling.type"});
  refused("two widths of rotation", [](json& v) { v["partial_rotary_factor"] = 0.25; },
          {"two things about the width of the rotation"});
  refused("half a column", [](json& v) { v["partial_rotary_factor"] = 0.3; }, {"is no whole number"});
  refused("other kinds of layers",
          [](json& v) { v["layer_types"] = std::vector<std::string>(6, "full_attention"); },
          {"layer_types has \"full_attention\""});
  refused("too few kinds",
          [](json& v) { v["layer_types"] = std::vector<std::string>(5, "sliding_attention"); },
          {"layer_types has 5 entries, expected num_hidden_layers, 6"});
  refused("kinds against ratios",
          [](json& v) { v["layer_types"] = std::vector<std::string>(6, "sliding_attention"); },
          {"compress_ratios and layer_types contradict"});
  refused("no rates",
          [](json& v) {
            v["layer_types"] = layer_types(v);
            v.erase("compress_ratios");
          },
          {"missing key compress_rates"});
  refused("another rate of CSA",
          [](json& v) {
            v["layer_types"] = layer_types(v);
            v["compress_rates"] = {{"compressed_sparse_attention", 2}, {"heavily_compressed_attention", 16}};
            v.erase("compress_ratios");
          },
          {"compress_rates.compressed_sparse_attention is 2, expected 4"});
  refused("tables after bias",
          [](json& v) { v["mlp_layer_types"] = {"moe", "hash_moe", "moe", "moe", "moe", "moe"}; },
          {"mlp_layer_types"});
  refused("two counts of tables",
          [](json& v) { v["mlp_layer_types"] = {"hash_moe", "moe", "moe", "moe", "moe", "moe"}; },
          {"num_hash_layers and mlp_layer_types contradict"});
  refused("no end token", [](json& v) { v["eos_token_id"] = json::array(); }, {"eos_token_id is []"});
  refused("an end token outside", [](json& v) { v["eos_token_id"] = {1, 512}; }, {"from 0 to 511"});
}

TEST(ConfigForms, ReadsSeveralEndTokens) {
  json value = tiny();
  value["eos_token_id"] = {1, 5, 7};
  const auto config = parse(value);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->eos_token_ids, (std::vector<int>{1, 5, 7}));
}

TEST(ConfigForms, TakesTheEpsOfEveryRelease) {
  json value = tiny();
  value["rms_norm_eps"] = 1e-20;
  const auto config = parse(value);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->rms_norm_eps, 1e-20f);
  value["rms_norm_eps"] = 1e-40;  // not a normal float32
  expect_refused(value, {"rms_norm_eps"}, "subnormal");
}

TEST(ConfigForms, UnknownKeysAreNamed) {
  const auto warnings_of = [](const std::function<void(json&)>& change) {
    json value = tiny();
    change(value);
    std::vector<std::string> warnings;
    const auto config = parse(value, &warnings);
    EXPECT_TRUE(config) << config.error().message;
    return warnings;
  };
  const auto expect_one = [&](const std::function<void(json&)>& change, const std::string& fragment) {
    const std::vector<std::string> warnings = warnings_of(change);
    ASSERT_EQ(warnings.size(), 1u) << fragment;
    EXPECT_NE(warnings[0].find(fragment), std::string::npos) << warnings[0];
    EXPECT_NE(warnings[0].find(kPath), std::string::npos) << warnings[0];
    EXPECT_LT(warnings[0].size(), 800u);
  };
  EXPECT_TRUE(warnings_of([](json&) {}).empty());
  expect_one([](json& v) { v["attention_sinks"] = 4; }, "1 key is unknown and ignored: \"attention_sinks\"");
  expect_one(
      [](json& v) {
        for (int i = 0; i < 1000; ++i) v["x" + std::to_string(i)] = i;
      },
      "1000 keys are unknown and ignored: \"x0\", \"x1\"");
  expect_one([](json& v) { v["bad\nname"] = 1; }, "\"bad\\nname\"");
  expect_one([](json& v) { v["rope_scaling"]["truncate"] = false; }, "rope_scaling.truncate is unknown");
  expect_one([](json& v) { v["quantization_config"]["bits"] = 8; }, "quantization_config.bits is unknown");
  expect_one(
      [](json& v) {
        v["rope_parameters"] = nested_rope(v, "main", {"compress"});
        v["rope_parameters"]["other"] = json::object();
      },
      "rope_parameters.other is unknown");
  expect_one([](json& v) { v["vision_n_layers"] = 32, v["vision_dim"] = 1024, v["image_token_id"] = 7; },
             "also reads images (3 keys)");
  json vision = tiny();
  EXPECT_FALSE(parse(vision)->vision);
  vision["vision_dim"] = 1024;
  EXPECT_TRUE(parse(vision)->vision);
}

TEST(ConfigForms, OtherFormatsAreRefusedInOneSentence) {
  struct Case {
    std::function<void(json&)> change;
    const char* name;
  };
  const Case cases[] = {
      {[](json& v) {
         v = {{"architectures", {"DeepseekV41ForCausalLM"}},
              {"model_type", "deepseek_v41"},
              {"text_config", {{"model_type", "deepseek_v41_text"}}},
              {"quantization_config", {{"quant_method", "fp8"}, {"weight_block_size", {32, 32}}}}};
       },
       "is of DeepSeek-V4.1"},
      {[](json& v) { v["model_type"] = "deepseek_v41"; }, "is of DeepSeek-V4.1"},
      {[](json& v) {
         v["quantization_config"] = {
             {"quant_method", "modelopt"}, {"quant_algo", "MIXED_PRECISION"}, {"moe_quant_algo", "NVFP4"}};
       },
       "is a ModelOpt re-pack (quant_algo \"MIXED_PRECISION\", moe_quant_algo \"NVFP4\"; NVFP4)"},
      {[](json& v) {
         v["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                     {"format", "nvfp4-pack-quantized"}};
       },
       "is a compressed-tensors re-pack"},
  };
  for (const Case& c : cases) {
    json value = tiny();
    c.change(value);
    expect_refused(value, {c.name, "accepted are DeepSeek-V4 checkpoints"}, c.name);
  }
}

}  // namespace
}  // namespace ft
