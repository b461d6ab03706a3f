// Every public form of a checkpoint is served as the model that it is, and every other says why it is not.
#include "eval/checkpoint_form.h"

#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "core/model.h"
#include "eval/prefill.h"
#include "eval/random_checkpoint.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

const std::string kMtpConfig = FT_MODELS "/v4-nano/config.json";
const std::string kDsparkConfig = FT_MODELS "/v4-nano-dspark/config.json";

std::string make(const TempDir& directory, const std::string& name, const std::string& form,
                 const std::string& config) {
  RandomCheckpointOptions options;
  options.config = config;
  options.form = form;
  options.out = directory.file(name);
  const auto made = make_random_checkpoint(options);
  EXPECT_TRUE(made) << made.error().message;
  return options.out;
}

struct Loaded {
  std::unique_ptr<Backend> backend;
  Result<std::unique_ptr<Checkpoint>> checkpoint;

  explicit Loaded(const std::string& folder)
      : backend(support::make_test_backend("cpu1", Numerics::kOfficial)),
        checkpoint(Checkpoint::load(folder, *backend)) {}

  std::string drafter() const {
    const ModelWeights& weights = (*checkpoint)->weights();
    return weights.dspark != nullptr ? "dspark" : weights.mtp.empty() ? "none" : "mtp";
  }
  std::vector<float> logits() const {
    CacheLimits limits;
    limits.context = 64;
    limits.rows = 24;
    Model model(*backend, **checkpoint, limits);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 24; ++i) tokens.push_back(static_cast<int32_t>((i * 379 + 5) % 2000));
    return sequence_logits(model, tokens, 24).value();
  }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Prints a row of the tables that these tests show.
void show(std::string_view form, std::string_view drafter, std::string_view rest) {
  fmt::print(stderr, "  {:<20} {:<8} {}\n", form, drafter, rest);
}

struct Expected {
  const char* form;
  const char* drafter;  // of the DSpark config
  const char* warning;  // part of the only one, "" where there is none
  bool same;            // as the plain form
};

constexpr Expected kExpected[] = {
    {"plain", "dspark", "", true},
    {"flash", "mtp", "", true},
    {"dspark", "dspark", "", true},
    {"base", "dspark", "", true},
    {"fp8-repack", "dspark", "", true},
    {"f32-scales", "dspark", "", true},
    {"vision", "dspark", "image", false},  // another eps is another model
    {"rope-parameters", "dspark", "", true},
    {"rope-flat", "dspark", "", true},
    {"layer-types", "dspark", "", true},
    {"end-tokens", "dspark", "", true},
    {"prefix", "dspark", "", true},
    {"sharded", "dspark", "", true},
    {"overlay", "dspark", "1 because it places them in other files (the first: head.weight)", true},
    {"unlisted", "dspark", "1 because weight_map lacks them", true},
    {"stray", "dspark", "model.safetensors: is left out", true},
    {"bf16-draft", "none", "the draft is left out: ", true},
    {"part-draft", "none", "the draft is left out: ", true},
    {"no-draft", "none", "the draft is left out: ", true},
};

TEST(CheckpointForm, EveryPublicFormIsTheModelThatItIs) {
  const TempDir directory;
  const std::vector<float> plain = Loaded(make(directory, "reference", "plain", kDsparkConfig)).logits();
  show("form", "drafter", "logits of the plain form, warnings");
  size_t shown = 0;
  for (const CheckpointForm& form : checkpoint_forms()) {
    if (form.refused) continue;
    SCOPED_TRACE(form.name);
    const auto* expected = std::find_if(std::begin(kExpected), std::end(kExpected),
                                        [&](const Expected& e) { return form.name == e.form; });
    ASSERT_NE(expected, std::end(kExpected)) << "a form without a row in this test";
    const std::string name(form.name);
    const Loaded loaded(make(directory, name, name, kDsparkConfig));
    ASSERT_TRUE(loaded.checkpoint) << loaded.checkpoint.error().message;
    EXPECT_EQ(loaded.drafter(), expected->drafter);
    const bool same = same_bits(loaded.logits(), plain);
    EXPECT_EQ(same, expected->same);
    std::string warnings;
    for (const std::string& warning : (*loaded.checkpoint)->warnings()) {
      EXPECT_NE(warning.find(expected->warning), std::string::npos) << warning;
      warnings += "; " + warning.substr(warning.rfind('/') + 1);
    }
    EXPECT_EQ(warnings.empty(), *expected->warning == 0) << warnings;
    show(form.name, loaded.drafter(), (same ? "equal" : "others") + warnings);
    ++shown;
  }
  EXPECT_EQ(shown, std::size(kExpected));
}

TEST(CheckpointForm, TheImageSideChangesNoText) {
  const TempDir directory;
  const std::string vision = make(directory, "vision", "vision", kDsparkConfig);
  // The plain form with the eps of that release.
  nlohmann::json config = nlohmann::json::parse(file_bytes(kDsparkConfig));
  config["rms_norm_eps"] = 1e-20;
  const std::string other = directory.write("config.json", config.dump());
  const Loaded with(vision);
  ASSERT_TRUE(with.checkpoint) << with.checkpoint.error().message;
  EXPECT_TRUE(same_bits(with.logits(), Loaded(make(directory, "plain", "plain", other)).logits()));
  ASSERT_EQ((*with.checkpoint)->warnings().size(), 2u);
  EXPECT_NE((*with.checkpoint)->warnings()[0].find("text is served, images are not"), std::string::npos);
  EXPECT_NE((*with.checkpoint)->warnings()[1].find("15 tensors are left out"), std::string::npos)
      << (*with.checkpoint)->warnings()[1];
}

TEST(CheckpointForm, EveryOtherFormSaysWhyItIsRefused) {
  struct Refusal {
    const char* form;
    const char* message;
  };
  const Refusal refusals[] = {
      {"truncated", "model.safetensors: truncated: tensor "},
      {"lfs-pointer", "model.safetensors: is a Git LFS pointer"},
      {"overlapping", " overlap: data byte "},
      {"duplicate-keys", " appears twice in one object"},
      {"huge-header", "header length 2147483648 is over the limit"},
      {"cyclic-index", "loop.safetensors: Too many levels of symbolic links"},
      {"self-index", "weight_map entry embed.weight names \"model.safetensors.index.json\""},
      {"bad-scale", "tensor layers.0.attn.wkv.scale has "},
      {"v41", "config.json: is of DeepSeek-V4.1"},
      {"nvfp4", "config.json: is a ModelOpt re-pack"},
      {"compressed-tensors", "config.json: is a compressed-tensors re-pack"},
  };
  const TempDir directory;
  size_t shown = 0;
  for (const CheckpointForm& form : checkpoint_forms()) {
    if (!form.refused) continue;
    SCOPED_TRACE(form.name);
    const auto* refusal = std::find_if(std::begin(refusals), std::end(refusals),
                                       [&](const Refusal& r) { return form.name == r.form; });
    ASSERT_NE(refusal, std::end(refusals)) << "a form without a row in this test";
    const std::string name(form.name);
    const Loaded loaded(make(directory, name, name, kMtpConfig));
    ASSERT_FALSE(loaded.checkpoint);
    const std::string& message = loaded.checkpoint.error().message;
    EXPECT_NE(message.find(refusal->message), std::string::npos) << message;
    show(form.name, "", message.substr(message.rfind('/') + 1));
    ++shown;
  }
  EXPECT_EQ(shown, std::size(refusals));
}

TEST(CheckpointForm, UnknownNamesAreRefusedWithAllThatExist) {
  const auto form = find_checkpoint_form("gguf");
  ASSERT_FALSE(form);
  EXPECT_NE(form.error().message.find("\"gguf\", expected one of plain, flash, dspark, base"),
            std::string::npos);
}

// One random change of a text: a byte, a piece, a digit, a swap of two pieces.
std::string mutated(std::string text, std::mt19937_64& random) {
  const auto below = [&](size_t limit) { return static_cast<size_t>(random() % std::max<size_t>(limit, 1)); };
  const size_t at = below(text.size());
  switch (random() % 7) {
    case 0:
      text[at] = static_cast<char>(random());
      break;
    case 1:
      text.erase(at, 1 + below(20));
      break;
    case 2:
      text.insert(at, text.substr(below(text.size()), 1 + below(30)));
      break;
    case 3: {  // a digit, which leaves the text well-formed
      const size_t digit = text.find_first_of("0123456789", at);
      if (digit != std::string::npos) text[digit] = static_cast<char>('0' + random() % 10);
      break;
    }
    case 4:
      text.resize(at);
      break;
    case 5: {  // two numbers change places
      const size_t a = text.find_first_of("0123456789", at);
      const size_t b = text.find_first_of("0123456789", below(text.size()));
      if (a != std::string::npos && b != std::string::npos) std::swap(text[a], text[b]);
      break;
    }
    default: {  // a value that is odd everywhere
      constexpr const char* kOdd[] = {"null", "-1", "1e999", "[]", "{}", "\"\"", "18446744073709551616",
                                      "true"};
      const size_t colon = text.find(':', at);
      const size_t end = colon == std::string::npos ? colon : text.find_first_of(",}]", colon);
      if (end != std::string::npos)
        text.replace(colon + 1, end - colon - 1, kOdd[random() % std::size(kOdd)]);
      break;
    }
  }
  return text;
}

double cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

// A checkpoint of two shards, of which one file is changed at a time.
class FullMutations : public ::testing::Test {
 protected:
  static constexpr int kMutations = 5000;

  FullMutations() {
    nlohmann::json config = nlohmann::json::parse(file_bytes(kMtpConfig));
    // As small as it gets: most mutations are refused by the first look, the others run.
    config["vocab_size"] = 64;
    config["n_routed_experts"] = 4;
    config["num_experts_per_tok"] = 2;
    folder_ = make(directory_, "model", "sharded", directory_.write("config.json", config.dump()));
  }

  std::string path(const char* name) const { return folder_ + "/" + name; }
  std::optional<std::vector<float>> logits(std::string* problem, std::vector<std::string>* warnings,
                                           ModelConfig* config) const {
    const Loaded loaded(folder_);
    if (!loaded.checkpoint) {
      *problem = loaded.checkpoint.error().message;
      return std::nullopt;
    }
    *warnings = (*loaded.checkpoint)->warnings();
    *config = (*loaded.checkpoint)->config();
    CacheLimits limits;
    limits.context = 16;
    limits.rows = 8;
    Model model(*loaded.backend, **loaded.checkpoint, limits);
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 8; ++i) tokens.push_back(i * 7 % 60);
    auto rows = sequence_logits(model, tokens, 8);
    if (rows) return std::move(*rows);
    *problem = rows.error().message;
    return std::nullopt;
  }

  TempDir directory_;
  std::string folder_;
};

// A number of the config that every file is free to choose; the weights cannot contradict it.
bool only_chooses(const ModelConfig& a, const ModelConfig& b) {
  ModelConfig c = a;
  c.routed_scaling_factor = b.routed_scaling_factor;
  c.swiglu_limit = b.swiglu_limit;
  c.rms_norm_eps = b.rms_norm_eps;
  c.hc_eps = b.hc_eps;
  c.hc_sinkhorn_iters = b.hc_sinkhorn_iters;
  c.rope_theta = b.rope_theta;
  c.compress_rope_theta = b.compress_rope_theta;
  c.rope_scaling = b.rope_scaling;
  c.sliding_window = b.sliding_window;
  c.index_topk = b.index_topk;
  c.num_experts_per_tok = b.num_experts_per_tok;
  c.qk_rope_head_dim = b.qk_rope_head_dim;
  c.o_groups = b.o_groups;
  c.num_attention_heads = b.num_attention_heads;
  c.head_dim = b.head_dim;
  c.index_n_heads = b.index_n_heads;
  c.index_head_dim = b.index_head_dim;
  c.max_position_embeddings = b.max_position_embeddings;
  c.bos_token_id = b.bos_token_id;
  c.eos_token_ids = b.eos_token_ids;
  return c == b && !(a == b);
}

TEST_F(FullMutations, NoneCrashesHangsOrChangesTheModelUnnoticed) {
  std::string problem;
  std::vector<std::string> warnings;
  ModelConfig config;
  const auto original = logits(&problem, &warnings, &config);
  ASSERT_TRUE(original) << problem;
  ASSERT_TRUE(warnings.empty()) << warnings.front();
  const ModelConfig original_config = config;
  struct File {
    const char* name;
    std::string bytes;
    int refused = 0, equal = 0, warned = 0, chosen = 0, moved = 0;
  };
  File files[] = {{"config.json", file_bytes(path("config.json"))},
                  {"model.safetensors.index.json", file_bytes(path("model.safetensors.index.json"))},
                  {"model-00001-of-00002.safetensors", file_bytes(path("model-00001-of-00002.safetensors"))}};
  std::mt19937_64 random(20261127);
  // Of this process: another one that is busy makes nothing slow.
  const double begin = cpu_seconds();
  double longest = 0.0;
  for (int i = 0; i < kMutations; ++i) {
    File& file = files[i % 3];
    std::string bytes = file.bytes;
    if (i % 3 == 2) {  // the header only: its length, or its text
      uint64_t length = 0;
      std::memcpy(&length, bytes.data(), sizeof(length));
      if (random() % 8 == 0) {
        bytes[random() % 8] = static_cast<char>(random());
      } else {
        const std::string header = mutated(bytes.substr(8, length), random);
        const uint64_t now = random() % 8 == 0 ? length : header.size();
        bytes = std::string(reinterpret_cast<const char*>(&now), 8) + header + bytes.substr(8 + length);
      }
    } else {
      bytes = mutated(bytes, random);
    }
    directory_.write(std::string("model/") + file.name, bytes);
    const double start = cpu_seconds();
    problem.clear();
    warnings.clear();
    const auto now = logits(&problem, &warnings, &config);
    longest = std::max(longest, cpu_seconds() - start);
    if (!now) {
      EXPECT_FALSE(problem.empty());
      EXPECT_LT(problem.size(), 2000u);
      ++file.refused;
    } else if (same_bits(*now, *original)) {
      ++file.equal;
    } else if (!warnings.empty()) {
      ++file.warned;
    } else if (only_chooses(config, original_config)) {
      ++file.chosen;
    } else {
      // A header that gives a tensor the bytes of another of its size cannot be told from a right one.
      ++file.moved;
      EXPECT_EQ(i % 3, 2) << "accepted unnoticed: " << bytes.substr(0, 3000);
    }
    directory_.write(std::string("model/") + file.name, file.bytes);
  }
  for (const File& file : files) {
    fmt::print(stderr,
               "  {}: {} refused, {} the same, {} with a warning, {} with another choice, {} moved bytes\n",
               file.name, file.refused, file.equal, file.warned, file.chosen, file.moved);
    EXPECT_GT(file.refused, kMutations / 10);
  }
  fmt::print(stderr, "  {} mutations in {:.1f} s of computing, the longest {:.2f} s\n", kMutations,
             cpu_seconds() - begin, longest);
  EXPECT_LT(longest, 5.0);
}

}  // namespace
}  // namespace ft::eval
