#include "core/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "core/safetensors.h"
#include "tests/core/checkpoint_folder.h"

namespace ft {
namespace {

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
}  // namespace
}  // namespace ft
