// Checkpoints that contradict themselves or lack something.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "core/safetensors.h"
#include "tests/core/checkpoint_folder.h"

namespace ft {
namespace {

struct DraftProblem {
  const char* what;
  std::string source;
  std::function<void(CheckpointFolder&)> change;
  const char* expected;  // part of the warning
};

// A draft only guesses: what is wrong with it costs speed, and no reply.
TEST(Checkpoint, WhatADraftLacksCostsOnlyTheDraft) {
  const DraftProblem cases[] = {
      {"missing tensor", kTiny, [](CheckpointFolder& f) { f.rename("mtp.0.enorm.weight", "mtp.0.emb.old"); },
       "the draft is left out: "},
      {"in another format", kTiny,
       [](CheckpointFolder& f) {
         f.rename("mtp.0.e_proj.weight", "mtp.0.emb.old");
         json& entry = f.header["mtp.0.e_proj.weight"];
         const size_t at = f.data.size();
         entry = {{"dtype", "BF16"}, {"shape", {256, 256}}, {"data_offsets", {at, at + 2 * 256 * 256}}};
         f.data.append(2 * 256 * 256, '\0');
       },
       "tensor mtp.0.e_proj.weight has dtype BF16, expected F8_E4M3"},
      {"DSpark weights, MTP config", kTinyDspark,
       [](CheckpointFolder& f) {
         for (const char* key : {"dspark_block_size", "dspark_noise_token_id", "dspark_target_layer_ids",
                                 "dspark_markov_rank"}) {
           f.config.erase(key);
         }
         f.config["compress_ratios"] = {0, 4, 16, 0};
       },
       "tensor mtp.0.e_proj.weight is missing"},
      {"fewer DSpark stages", kTinyDspark,
       [](CheckpointFolder& f) {
         f.config["compress_ratios"] = {0, 4, 16, 0, 0};
       },
       "tensor mtp.1.norm.weight is missing"},
      {"other taps", kTinyDspark,
       [](CheckpointFolder& f) {
         f.config["dspark_target_layer_ids"] = {1, 2};
       },
       "tensor mtp.0.main_proj.weight has shape [256, 768], config.json says [256, 512]"},
      {"other Markov rank", kTinyDspark, [](CheckpointFolder& f) { f.config["dspark_markov_rank"] = 32; },
       "markov_head.markov_w1.weight has shape [512, 64], config.json says [512, 32]"},
      {"MTP weights, DSpark config", kTiny,
       [](CheckpointFolder& f) {
         f.config["dspark_block_size"] = 5;
         f.config["dspark_noise_token_id"] = 3;
         f.config["dspark_target_layer_ids"] = {4, 5};
         f.config["dspark_markov_rank"] = 32;
       },
       "tensor mtp.0.main_proj.weight is missing"},
      {"config has no MTP", kTiny,
       [](CheckpointFolder& f) {
         f.config["num_nextn_predict_layers"] = 0;
         f.config["compress_ratios"] = {0, 4, 16, 0, 4, 16};
       },
       "because the draft of config.json has no place for them (the first: mtp.0."},
  };
  HostPlacer host;
  for (const DraftProblem& c : cases) {
    SCOPED_TRACE(c.what);
    const auto whole = Checkpoint::load(c.source, host);
    ASSERT_TRUE(whole);
    CheckpointFolder folder(c.source);
    c.change(folder);
    const auto loaded = folder.load(host);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_TRUE((*loaded)->weights().mtp.empty());
    EXPECT_EQ((*loaded)->weights().dspark, nullptr);
    expect_warnings(**loaded, {c.expected});
    // What is left is the model as it was.
    EXPECT_TRUE(gather(**whole).starts_with(gather(**loaded)));
  }
}

struct Contradiction {
  const char* what;
  std::string source;
  std::function<void(CheckpointFolder&)> change;
  std::vector<std::string> expected;  // parts of the message
};

TEST(Checkpoint, ContradictionsBetweenConfigAndWeightsAreNamed) {
  const std::string kFile = "model.safetensors";
  const Contradiction cases[] = {
      {"missing tensor",
       kTiny,
       [](CheckpointFolder& f) { f.rename("layers.3.attn.wq_a.scale", "unknown"); },
       {kFile, "tensor layers.3.attn.wq_a.scale is missing", "F8_E8M0 or F32 [1, 2]"}},
      {"missing global tensor",
       kTiny,
       [](CheckpointFolder& f) { f.rename("hc_head_base", "unknown"); },
       {kFile, "tensor hc_head_base is missing"}},
      {"wrong dtype",
       kTiny,
       [](CheckpointFolder& f) { f.header["layers.0.ffn.experts.1.w1.weight"]["dtype"] = "F8_E4M3"; },
       {kFile, "tensor layers.0.ffn.experts.1.w1.weight has dtype F8_E4M3, expected I8"}},
      {"wrong shape",
       kTiny,
       [](CheckpointFolder& f) {
         f.header["layers.0.attn.wkv.weight"]["shape"] = {256, 128};
       },
       {kFile, "tensor layers.0.attn.wkv.weight has shape [256, 128], config.json says [128, 256]"}},
      {"flat shape",
       kTiny,
       [](CheckpointFolder& f) { f.header["layers.1.attn.compressor.ape"]["shape"] = {4 * 256}; },
       {kFile, "tensor layers.1.attn.compressor.ape has shape [1024], config.json says [4, 256]"}},
      {"routing to an expert that is not there",
       kTiny,
       [](CheckpointFolder& f) {
         const size_t begin = f.header["layers.1.ffn.gate.tid2eid"]["data_offsets"][0];
         f.data[begin + 8 * 21] = 8;  // token 10, second slot
       },
       {kFile, "tensor layers.1.ffn.gate.tid2eid has 8 at [10, 1], expected 0 to 7"}},
      {"negative routing",
       kTiny,
       [](CheckpointFolder& f) {
         const size_t begin = f.header["layers.0.ffn.gate.tid2eid"]["data_offsets"][0];
         f.data.replace(begin, 8, 8, '\xff');
       },
       {"tensor layers.0.ffn.gate.tid2eid has -1 at [0, 0]"}},
      {"config has other width",
       kTiny,
       [](CheckpointFolder& f) { f.config["hidden_size"] = 512; },
       {"tensor embed.weight has shape [512, 256], config.json says [512, 512]"}},
      {"config has other vocabulary",
       kTiny,
       [](CheckpointFolder& f) { f.config["vocab_size"] = 1024; },
       {"tensor embed.weight has shape [512, 256], config.json says [1024, 256]"}},
      {"config has fp8 experts",
       kTiny,
       [](CheckpointFolder& f) { f.config.erase("expert_dtype"); },
       {"ffn.experts.0.w1.weight has dtype I8, expected F8_E4M3"}},
      {"config has more layers",
       kTiny,
       [](CheckpointFolder& f) {
         f.config["num_hidden_layers"] = 7;
         f.config["compress_ratios"] = {0, 4, 16, 0, 4, 16, 0, 0};
       },
       {"tensor layers.6.", "is missing"}},
      {"config has fewer layers",
       kTiny,
       [](CheckpointFolder& f) {
         f.config["num_hidden_layers"] = 5;
         f.config["compress_ratios"] = {0, 4, 16, 0, 4, 0};
       },
       {"tensor layers.5.", "has no place", "num_hidden_layers 5"}},
      {"config has fewer experts",
       kTiny,
       [](CheckpointFolder& f) { f.config["n_routed_experts"] = 4; },
       {"ffn.gate.weight has shape [8, 256], config.json says [4, 256]"}},
      {"config has more hash layers",
       kTiny,
       [](CheckpointFolder& f) { f.config["num_hash_layers"] = 3; },
       {"tensor layers.2.ffn.gate.tid2eid is missing"}},
      {"config has no compression where the weights do",
       kTiny,
       [](CheckpointFolder& f) { f.config["compress_ratios"] = {0, 0, 16, 0, 4, 16, 0}; },
       {"tensor layers.1.attn.compressor.", "has no place"}},
      {"config has another ratio",
       kTiny,
       [](CheckpointFolder& f) { f.config["compress_ratios"] = {0, 4, 8, 0, 4, 16, 0}; },
       {"tensor layers.2.attn.compressor.ape has shape [16, 128], config.json says [8, 128]"}},
  };
  HostPlacer host;
  for (const Contradiction& c : cases) {
    SCOPED_TRACE(c.what);
    CheckpointFolder folder(c.source);
    c.change(folder);
    const auto loaded = folder.load(host);
    ASSERT_FALSE(loaded) << "accepted";
    EXPECT_EQ(loaded.error().code, ErrorCode::kInvalidFile);
    for (const std::string& fragment : c.expected) {
      EXPECT_NE(loaded.error().message.find(fragment), std::string::npos)
          << "no '" << fragment << "' in: " << loaded.error().message;
    }
  }
}

TEST(Checkpoint, FolderProblemsAreNamed) {
  HostPlacer host;
  const auto expect = [&](const std::string& folder, ErrorCode code, const std::string& fragment) {
    const auto loaded = Checkpoint::load(folder, host);
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, code) << loaded.error().message;
    EXPECT_NE(loaded.error().message.find(fragment), std::string::npos) << loaded.error().message;
  };
  TempDir dir;
  expect(dir.file("absent"), ErrorCode::kNotFound, "absent/config.json");
  expect(dir.path(), ErrorCode::kNotFound, "config.json");
  dir.write("config.json", "{");
  expect(dir.path(), ErrorCode::kInvalidFile, "config.json: not valid JSON");
  dir.write("config.json", file_bytes(kTiny + "/config.json"));
  expect(dir.path(), ErrorCode::kNotFound, "has neither model.safetensors nor");
  const std::string whole = file_bytes(kTiny + "/model.safetensors");
  dir.write("model.safetensors", whole.substr(0, whole.size() - 1));
  expect(dir.path(), ErrorCode::kInvalidFile, "truncated: tensor");
}

}  // namespace
}  // namespace ft
