#include "core/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "core/safetensors.h"
#include "tests/support/temp_dir.h"

namespace ft {
namespace {

using nlohmann::json;

const std::string kTiny = FT_TEST_DATA "/goldens/tiny-v4";
const std::string kTinyDspark = FT_TEST_DATA "/goldens/tiny-v4-dspark";

// A CPU: weights are read where they lie.
class HostPlacer final : public WeightPlacer {
 public:
  const void* place(const void* host, size_t bytes) override {
    ++calls;
    placed_bytes += bytes;
    return host;
  }
  int calls = 0;
  size_t placed_bytes = 0;
};

// A device: weights are copied; the memory holds `capacity` bytes.
class CopyingPlacer final : public WeightPlacer {
 public:
  explicit CopyingPlacer(size_t capacity) : capacity_(capacity) {}
  const void* place(const void* host, size_t bytes) override {
    if (bytes > capacity_) return nullptr;
    capacity_ -= bytes;
    auto& copy = copies_.emplace_back(new char[bytes]);
    std::memcpy(copy.get(), host, bytes);
    return copy.get();
  }

 private:
  size_t capacity_;
  std::vector<std::unique_ptr<char[]>> copies_;
};

ModelConfig config_of(const std::string& path) {
  auto config = ModelConfig::parse(file_bytes(path), path);
  FT_CHECK(config.has_value(), config.error().message);
  return *config;
}

// What the tree says is stored: name -> dtype and shape.
using Inventory = std::map<std::string, std::pair<std::string, std::vector<int64_t>>>;

class InventoryVisitor final : public WeightVisitor {
 public:
  void linear(const std::string& name, Weight&, int64_t rows, int64_t cols, WeightFormat format) override {
    switch (format) {
      case WeightFormat::kF32:
        add(name + ".weight", DType::kF32, {rows, cols});
        break;
      case WeightFormat::kBF16:
        add(name + ".weight", DType::kBF16, {rows, cols});
        break;
      case WeightFormat::kFp8Block:
        add(name + ".weight", DType::kE4M3, {rows, cols});
        add(name + ".scale", DType::kE8M0, {(rows + 127) / 128, (cols + 127) / 128});
        break;
      case WeightFormat::kFp4Row:
        add(name + ".weight", DType::kI8, {rows, cols / 2});
        add(name + ".scale", DType::kE8M0, {rows, cols / 32});
        break;
    }
  }
  void vector(const std::string& name, Vector&, std::vector<int64_t> shape, DType stored) override {
    add(name, stored, std::move(shape));
  }
  void matrix(const std::string& name, Weight&, int64_t rows, int64_t cols) override {
    add(name, DType::kF32, {rows, cols});
  }
  void table(const std::string& name, const int32_t*&, const int32_t*&, int64_t rows, int64_t cols,
             int64_t) override {
    add(name, DType::kI64, {rows, cols});
  }

  Inventory tensors;

 private:
  void add(const std::string& name, DType dtype, std::vector<int64_t> shape) {
    const bool is_new =
        tensors.emplace(name, std::pair(std::string(safetensors_name(dtype)), std::move(shape))).second;
    EXPECT_TRUE(is_new) << name << " is named twice";
  }
};

Inventory inventory(const ModelConfig& config) {
  ModelWeights tree;
  InventoryVisitor visitor;
  visit_weights(config, tree, visitor);
  return visitor.tensors;
}

TEST(WeightTree, HasThePublishedSizeOfFlashAndPro) {  // docs/spec/model.md 2.2
  const CheckpointSize flash = checkpoint_size(config_of(FT_TEST_DATA "/configs/flash/config.json"));
  EXPECT_EQ(flash.tensors, 69'187);
  EXPECT_EQ(flash.bytes, 159'609'485'896);
  const CheckpointSize pro = checkpoint_size(config_of(FT_TEST_DATA "/configs/pro/config.json"));
  EXPECT_EQ(pro.tensors, 145'116);
  EXPECT_EQ(pro.bytes, 864'704'792'696);
}

// docs/spec/dspark.md 1.9: the list names expert 0 only and the totals for all.
TEST(WeightTree, HasThePublishedDsparkTensors) {
  for (const std::string model : {"flash-dspark", "pro-dspark"}) {
    const std::string folder = FT_TEST_DATA "/configs/" + model;
    const json list = json::parse(file_bytes(folder + "/mtp_tensors.json"));
    const ModelConfig config = config_of(folder + "/config.json");
    const Inventory tree = inventory(config);
    for (const json& tensor : list["tensors"]) {
      const auto found = tree.find(tensor["name"].get<std::string>());
      ASSERT_NE(found, tree.end()) << tensor["name"];
      EXPECT_EQ(found->second.first, tensor["dtype"].get<std::string>()) << tensor["name"];
      EXPECT_EQ(found->second.second, tensor["shape"].get<std::vector<int64_t>>()) << tensor["name"];
    }
    const auto drafts = std::count_if(tree.begin(), tree.end(),
                                      [](const auto& entry) { return entry.first.starts_with("mtp."); });
    EXPECT_EQ(drafts, list["total_tensors"].get<int>());

    ModelConfig target = config;  // the same model without its draft
    target.dspark = {};
    EXPECT_EQ(checkpoint_size(config).bytes - checkpoint_size(target).bytes,
              list["total_bytes"].get<int64_t>());
  }
}

TEST(WeightTree, IsExactlyWhatTheCheckpointsHold) {
  for (const std::string& folder :
       {kTiny, kTinyDspark, std::string(FT_TEST_DATA "/goldens/tiny-v4-r128"),
        std::string(FT_MODELS "/v4-nano"), std::string(FT_MODELS "/v4-nano-dspark")}) {
    const auto index = SafetensorsIndex::open(folder);
    ASSERT_TRUE(index) << index.error().message;
    Inventory stored;
    for (const auto& [name, tensor] : (*index)->tensors()) {
      stored.emplace(std::string(name),
                     std::pair(std::string(safetensors_name(tensor->dtype)), tensor->shape));
    }
    const ModelConfig config = config_of(folder + "/config.json");
    EXPECT_EQ(inventory(config), stored) << folder;
    EXPECT_EQ(checkpoint_size(config).tensors, static_cast<int64_t>(stored.size())) << folder;
    EXPECT_EQ(checkpoint_size(config).bytes, (*index)->total_bytes()) << folder;
  }
}

TEST(WeightTree, BaseCheckpointsHaveFp8Experts) {
  ModelConfig config = config_of(kTiny + "/config.json");
  config.experts_fp4 = false;
  const Inventory tree = inventory(config);
  EXPECT_EQ(tree.at("layers.3.ffn.experts.7.w2.weight"),
            std::pair(std::string("F8_E4M3"), std::vector<int64_t>{256, 128}));
  EXPECT_EQ(tree.at("layers.3.ffn.experts.7.w2.scale"),
            std::pair(std::string("F8_E8M0"), std::vector<int64_t>{2, 1}));
}

TEST(Checkpoint, LoadsEveryTensorInPlace) {
  HostPlacer host;
  std::vector<std::pair<int64_t, int64_t>> reports;
  const auto loaded =
      Checkpoint::load(kTiny, host, [&](int64_t done, int64_t total) { reports.emplace_back(done, total); });
  ASSERT_TRUE(loaded) << loaded.error().message;
  const Checkpoint& checkpoint = **loaded;
  const ModelWeights& weights = checkpoint.weights();
  EXPECT_EQ(checkpoint.config().num_hidden_layers, 6);
  EXPECT_EQ(checkpoint.weight_bytes(), checkpoint_size(checkpoint.config()).bytes);
  EXPECT_EQ(host.calls, checkpoint_size(checkpoint.config()).tensors);

  ASSERT_FALSE(reports.empty());
  for (size_t i = 1; i < reports.size(); ++i) EXPECT_LT(reports[i - 1].first, reports[i].first);
  EXPECT_EQ(reports.back(), std::pair(checkpoint.weight_bytes(), checkpoint.weight_bytes()));

  const auto file = SafetensorsFile::open(kTiny + "/model.safetensors");
  ASSERT_TRUE(file);
  const auto stored = [&](const char* name) { return (*file)->find(name)->data; };
  const Weight& expert = weights.layers[5].ffn.experts[7].w2;
  EXPECT_EQ(expert.format, WeightFormat::kFp4Row);
  EXPECT_EQ(expert.rows, 256);
  EXPECT_EQ(expert.cols, 128);
  EXPECT_EQ(std::memcmp(expert.data, stored("layers.5.ffn.experts.7.w2.weight"), expert.data_bytes()), 0);
  EXPECT_EQ(std::memcmp(expert.scale, stored("layers.5.ffn.experts.7.w2.scale"), expert.scale_bytes()), 0);
  const Weight& fn = weights.layers[2].hc_ffn.fn;
  EXPECT_EQ(fn.format, WeightFormat::kF32);
  EXPECT_EQ(std::memcmp(fn.data, stored("layers.2.hc_ffn_fn"), fn.data_bytes()), 0);

  ASSERT_EQ(weights.norm.size, 256);
  for (int64_t i = 0; i < weights.norm.size; ++i) {
    uint16_t half;
    std::memcpy(&half, stored("norm.weight") + i * 2, 2);
    ASSERT_EQ(weights.norm.data[i], bf16_to_f32(half)) << i;
  }
  const Vector& bias = weights.layers[4].ffn.bias;
  ASSERT_EQ(bias.size, 8);
  EXPECT_EQ(std::memcmp(bias.data, stored("layers.4.ffn.gate.bias"), 32), 0);
  const int32_t* table = weights.layers[1].ffn.tid2eid;
  ASSERT_NE(table, nullptr);
  for (int i = 0; i < 512 * 2; ++i) {
    int64_t expected;
    std::memcpy(&expected, stored("layers.1.ffn.gate.tid2eid") + i * 8, 8);
    ASSERT_EQ(table[i], expected) << i;
  }
  EXPECT_EQ(weights.layers[1].ffn.host_tid2eid, table);  // a CPU reads it where it lies

  // Hash layers have a table, the others a bias; the kind of attention follows the ratio.
  const int ratios[] = {0, 4, 16, 0, 4, 16};
  for (int layer = 0; layer < 6; ++layer) {
    const BlockWeights& block = weights.layers[layer];
    EXPECT_EQ(block.ratio, ratios[layer]);
    EXPECT_EQ(block.ffn.tid2eid != nullptr, layer < 2);
    EXPECT_EQ(block.ffn.host_tid2eid != nullptr, layer < 2);
    EXPECT_EQ(static_cast<bool>(block.ffn.bias), layer >= 2);
    EXPECT_EQ(static_cast<bool>(block.attn.compressor.wkv), block.kind() != LayerKind::kSwa);
    EXPECT_EQ(static_cast<bool>(block.attn.indexer.wq_b), block.kind() == LayerKind::kCsa);
  }
  ASSERT_EQ(weights.mtp.size(), 1u);
  EXPECT_TRUE(weights.mtp[0].e_proj);
  EXPECT_EQ(weights.dspark, nullptr);
}

TEST(Checkpoint, LoadsShardsAndDrafts) {
  HostPlacer host;
  const auto sharded = Checkpoint::load(FT_TEST_DATA "/goldens/tiny-v4-r128", host);
  ASSERT_TRUE(sharded) << sharded.error().message;
  EXPECT_TRUE((*sharded)->weights().mtp[0].head.fn);

  for (const std::string& folder : {kTinyDspark, std::string(FT_MODELS "/v4-nano-dspark")}) {
    const auto draft = Checkpoint::load(folder, host);
    ASSERT_TRUE(draft) << draft.error().message;
    ASSERT_NE((*draft)->weights().dspark, nullptr);
    EXPECT_TRUE((*draft)->weights().mtp.empty());
    EXPECT_EQ((*draft)->weights().dspark->stages.size(), 3u);
    EXPECT_EQ((*draft)->weights().dspark->main_proj.cols, 3 * 256);
    EXPECT_EQ((*draft)->weights().dspark->confidence.cols, 256 + 64);
  }
  const auto nano = Checkpoint::load(FT_MODELS "/v4-nano", host);
  ASSERT_TRUE(nano) << nano.error().message;
}

// The bytes of everything that was loaded, in the order of the tree.
class Gather final : public WeightVisitor {
 public:
  void linear(const std::string& name, Weight& weight, int64_t, int64_t, WeightFormat) override {
    if (weight.format == WeightFormat::kBF16) expect_aligned(name, weight.data, 2);
    add(weight.data, weight.data_bytes());
    if (weight.scale != nullptr) add(weight.scale, weight.scale_bytes());
  }
  void vector(const std::string& name, Vector& vector, std::vector<int64_t>, DType) override {
    expect_aligned(name, vector.data, 4);
    add(vector.data, vector.size * 4);
  }
  void matrix(const std::string& name, Weight& weight, int64_t, int64_t) override {
    expect_aligned(name, weight.data, 4);
    add(weight.data, weight.data_bytes());
  }
  void table(const std::string& name, const int32_t*& table, const int32_t*&, int64_t rows, int64_t cols,
             int64_t) override {
    expect_aligned(name, table, 4);
    add(table, rows * cols * 4);
  }

  std::string bytes;

 private:
  static void expect_aligned(const std::string& name, const void* data, uintptr_t alignment) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % alignment, 0u) << name;
  }
  void add(const void* data, int64_t size) {
    bytes.append(static_cast<const char*>(data), static_cast<size_t>(size));
  }
};

std::string gather(const Checkpoint& checkpoint) {
  // The visitor interface fills trees, so it takes a tree it may change; Gather only reads.
  auto& weights = const_cast<ModelWeights&>(checkpoint.weights());
  Gather gathered;
  visit_model(checkpoint.config(), weights, gathered);
  if (!weights.mtp.empty() || weights.dspark != nullptr) visit_drafts(checkpoint.config(), weights, gathered);
  return gathered.bytes;
}

// A folder whose config.json and model.safetensors start as copies of another's.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(const std::string& source)
      : config(json::parse(file_bytes(source + "/config.json"))),
        file_(file_bytes(source + "/model.safetensors")) {
    uint64_t length = 0;
    std::memcpy(&length, file_.data(), sizeof(length));
    header = json::parse(file_.substr(8, length));
    data = file_.substr(8 + length);
  }

  // Writes the folder with `padding` spaces behind the header, and loads it.
  Result<std::unique_ptr<Checkpoint>> load(WeightPlacer& placer, size_t padding = 0) {
    dir_.write("config.json", config.dump());
    const std::string text = header.dump() + std::string(padding, ' ');
    const uint64_t length = text.size();
    dir_.write("model.safetensors", std::string(reinterpret_cast<const char*>(&length), 8) + text + data);
    return Checkpoint::load(dir_.path(), placer);
  }

  void rename(const std::string& from, const std::string& to) {
    header[to] = header.at(from);
    header.erase(from);
  }

  json config;
  json header;
  std::string data;

 private:
  std::string file_;
  TempDir dir_;
};

TEST(Checkpoint, DataAtAnyAlignmentLoadsTheSame) {
  HostPlacer host;
  const auto plain = Checkpoint::load(kTinyDspark, host);
  ASSERT_TRUE(plain) << plain.error().message;
  const std::string expected = gather(**plain);
  CheckpointFolder folder(kTinyDspark);
  for (size_t padding = 0; padding < 4; ++padding) {
    const auto shifted = folder.load(host, padding);
    ASSERT_TRUE(shifted) << shifted.error().message;
    EXPECT_TRUE(gather(**shifted) == expected) << padding;
  }
}

TEST(Checkpoint, APlacerMayCopy) {
  HostPlacer host;
  const auto plain = Checkpoint::load(kTiny, host);
  ASSERT_TRUE(plain);
  CopyingPlacer device(host.placed_bytes);
  const auto copied = Checkpoint::load(kTiny, device);
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_NE((*copied)->weights().embed.data, (*plain)->weights().embed.data);
  EXPECT_TRUE(gather(**copied) == gather(**plain));
  // The host's own copy of a table stays beside the device's.
  const MoeWeights& hashed = (*copied)->weights().layers[1].ffn;
  ASSERT_NE(hashed.host_tid2eid, nullptr);
  EXPECT_NE(hashed.host_tid2eid, hashed.tid2eid);
  EXPECT_EQ(std::memcmp(hashed.host_tid2eid, (*plain)->weights().layers[1].ffn.tid2eid, 512 * 2 * 4), 0);

  CopyingPlacer small(host.placed_bytes - 1);
  const auto refused = Checkpoint::load(kTiny, small);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_NE(refused.error().message.find("does not fit the memory of the device"), std::string::npos);
}

TEST(Checkpoint, TakesHuggingFaceNames) {
  CheckpointFolder folder(kTiny);
  json renamed;
  for (const auto& item : folder.header.items()) {
    renamed[item.key() == "__metadata__" ? item.key() : "model." + item.key()] = item.value();
  }
  folder.header = renamed;
  HostPlacer host;
  const auto loaded = folder.load(host);
  EXPECT_TRUE(loaded) << loaded.error().message;
}

// Adds tensors of one byte each.
void add_tensors(CheckpointFolder& folder, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const size_t at = folder.data.size();
    folder.header[name] = {{"dtype", "I8"}, {"shape", {1}}, {"data_offsets", {at, at + 1}}};
    folder.data += 'x';
  }
}

void expect_warnings(const Checkpoint& checkpoint, const std::vector<std::string>& fragments) {
  ASSERT_EQ(checkpoint.warnings().size(), fragments.size()) << checkpoint.warnings().front();
  for (size_t i = 0; i < fragments.size(); ++i)
    EXPECT_NE(checkpoint.warnings()[i].find(fragments[i]), std::string::npos) << checkpoint.warnings()[i];
}

TEST(Checkpoint, TensorsThatAreComputedAreLeftOutSilently) {
  CheckpointFolder folder(kTiny);
  add_tensors(folder,
              {"rotary.inv_freq", "mtp.0.head.weight", "mtp.0.emb.tok_emb.weight", "layers.0.attn.inv_freq"});
  HostPlacer host;
  const auto loaded = folder.load(host);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_TRUE((*loaded)->warnings().empty());
}

TEST(Checkpoint, TensorsOutsideTheModelAreNamed) {
  HostPlacer host;
  {
    CheckpointFolder folder(kTiny);
    folder.config["vision_dim"] = 1024;
    add_tensors(folder, {"vision.blocks.0.norm", "aligner.w1", "image_start", "layers.3.ffn.gate.bias_vl",
                         "mtp.0.ffn.gate.bias_vl", "model.layers.4.ffn.gate.bias_vl"});
    const auto loaded = folder.load(host);
    ASSERT_TRUE(loaded) << loaded.error().message;
    expect_warnings(**loaded,
                    {"also reads images", "6 tensors are left out, because they are of the image side"});
    EXPECT_FALSE((*loaded)->weights().mtp.empty());
  }
  {
    CheckpointFolder folder(kTiny);
    add_tensors(folder, {"extra", "layers.0.ffn.gate.bias"});  // layer 0 routes by its table
    const auto loaded = folder.load(host);
    ASSERT_TRUE(loaded) << loaded.error().message;
    expect_warnings(**loaded, {"2 tensors are left out, because they are unknown (the first: extra)"});
  }
  {
    CheckpointFolder folder(kTiny);
    add_tensors(folder, {"mtp.0.extra"});
    const auto loaded = folder.load(host);
    ASSERT_TRUE(loaded) << loaded.error().message;
    expect_warnings(**loaded,
                    {"1 tensor is left out, because the draft of config.json has no place for them"});
    EXPECT_FALSE((*loaded)->weights().mtp.empty());
  }
}

TEST(Checkpoint, PartsAreAllThatIsStored) {
  HostPlacer host;
  for (const std::string& folder : {kTiny, kTinyDspark}) {
    const auto loaded = Checkpoint::load(folder, host);
    ASSERT_TRUE(loaded) << loaded.error().message;
    int64_t bytes = 0;
    int64_t tensors = 0;
    for (const WeightPart& part : (*loaded)->parts()) {
      bytes += part.bytes;
      tensors += part.tensors;
      if (part.name == "routed experts") {
        EXPECT_EQ(part.formats, std::vector<std::string>{"I8 + F8_E8M0"});
      }
    }
    EXPECT_EQ(bytes, (*loaded)->weight_bytes());
    EXPECT_EQ(tensors, checkpoint_size((*loaded)->config()).tensors);
  }
}

// Stores the block scales as F32, as the Base models and some re-packs do.
void widen_scales(CheckpointFolder& folder) {
  const std::string old = folder.data;
  folder.data.clear();
  for (auto& item : folder.header.items()) {
    if (item.key() == "__metadata__") continue;
    json& entry = item.value();
    const size_t begin = entry["data_offsets"][0];
    const size_t end = entry["data_offsets"][1];
    const size_t at = folder.data.size();
    if (entry["dtype"] == "F8_E8M0") {
      entry["dtype"] = "F32";
      for (size_t i = begin; i < end; ++i) {
        const float value = e8m0_to_f32(static_cast<uint8_t>(old[i]));
        folder.data.append(reinterpret_cast<const char*>(&value), sizeof(value));
      }
    } else {
      folder.data += old.substr(begin, end - begin);
    }
    entry["data_offsets"] = {at, folder.data.size()};
  }
}

TEST(Checkpoint, ScalesInF32ArePowersOfTwo) {
  HostPlacer host;
  const auto plain = Checkpoint::load(kTinyDspark, host);
  ASSERT_TRUE(plain) << plain.error().message;
  CheckpointFolder folder(kTinyDspark);
  folder.config["quantization_config"].erase("scale_fmt");
  widen_scales(folder);
  const auto wide = folder.load(host);
  ASSERT_TRUE(wide) << wide.error().message;
  EXPECT_TRUE(gather(**wide) == gather(**plain));
  EXPECT_TRUE((*wide)->warnings().empty());

  const size_t at = folder.header["layers.1.attn.wkv.scale"]["data_offsets"][0];
  const auto with = [&](float value) {
    std::memcpy(folder.data.data() + at, &value, sizeof(value));
    return folder.load(host);
  };
  for (const float value : {0.75f, -0.5f, 0.0f, 0x1p-128f, INFINITY, NAN}) {
    const auto loaded = with(value);
    ASSERT_FALSE(loaded) << value;
    EXPECT_NE(loaded.error().message.find(fmt::format(
                  "tensor layers.1.attn.wkv.scale has {} at [0, 0], which is not a power of two", value)),
              std::string::npos)
        << loaded.error().message;
  }
  for (const int exponent : {-127, -126, 0, 127}) {
    const auto loaded = with(std::ldexp(1.0f, exponent));
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(*(*loaded)->weights().layers[1].attn.wkv.scale, exponent + 127);
  }
}

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
