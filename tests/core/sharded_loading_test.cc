// What a rank reads of a checkpoint: the rows and columns of its shards, and all of what is not shared.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "core/safetensors.h"
#include "core/shards.h"
#include "tests/core/checkpoint_folder.h"

namespace ft {
namespace {

constexpr int kRankCounts[] = {1, 2, 4, 8};

// One rank of a group, on a CPU or on a device that keeps nothing but the address of what it has copied.
class RankPlacer final : public WeightPlacer {
 public:
  RankPlacer(int rank, int size, bool copies) : ranks_{rank, size, nullptr}, copies_(copies) {}
  const void* place(const void* host, size_t bytes) override {
    placed_bytes += static_cast<int64_t>(bytes);
    return copies_ ? &placed_bytes : host;
  }
  RankGroup ranks() const override { return ranks_; }
  int64_t placed_bytes = 0;

 private:
  RankGroup ranks_;
  bool copies_;
};

// The linear weights of a tree, in the order of a visit.
class LinearList final : public WeightVisitor {
 public:
  void linear(const std::string& name, Weight& weight, int64_t, int64_t, WeightFormat) override {
    names.push_back(name);
    weights.push_back(weight);
  }
  void vector(const std::string&, Vector&, std::vector<int64_t>, DType) override {}
  void matrix(const std::string&, Weight&, int64_t, int64_t) override {}
  void table(const std::string&, const int32_t*&, const int32_t*&, int64_t, int64_t, int64_t) override {}

  std::vector<std::string> names;
  std::vector<Weight> weights;
};

LinearList linears_of(const Checkpoint& checkpoint) {
  LinearList list;
  // A visit resizes the lists of the tree to what they are.
  visit_weights(checkpoint.config(), const_cast<ModelWeights&>(checkpoint.weights()), list);
  return list;
}

// Bytes of `cols` elements of a row, and of the scales of a row of tiles.
int64_t row_bytes(Weight shape, int64_t cols) {
  shape.rows = 1;
  shape.cols = cols;
  return shape.data_bytes();
}
int64_t scale_row_bytes(Weight shape, int64_t cols) {
  shape.rows = 1;
  shape.cols = cols;
  return shape.scale_bytes();
}

void expect_part_of(const Weight& part, const Weight& whole, const std::string& name) {
  ASSERT_EQ(part.all_rows(), whole.rows) << name;
  ASSERT_EQ(part.all_cols(), whole.cols) << name;
  const auto* data = static_cast<const std::byte*>(part.data);
  const auto* all = static_cast<const std::byte*>(whole.data);
  const int64_t own = row_bytes(part, part.cols), stride = row_bytes(whole, whole.cols);
  for (int64_t r = 0; r < part.rows; ++r) {
    const std::byte* from = all + (part.first_row + r) * stride + row_bytes(part, part.first_col);
    ASSERT_EQ(std::memcmp(data + r * own, from, static_cast<size_t>(own)), 0) << name << " row " << r;
  }
  if (whole.scale == nullptr || part.rows * part.cols == 0) return;
  const int64_t tall = part.format == WeightFormat::kFp8Block ? 128 : 1;
  const int64_t own_scales = scale_row_bytes(part, part.cols), scales = scale_row_bytes(whole, whole.cols);
  for (int64_t r = 0; r < (part.rows + tall - 1) / tall; ++r) {
    const uint8_t* from =
        whole.scale + (part.first_row / tall + r) * scales + scale_row_bytes(part, part.first_col);
    ASSERT_EQ(std::memcmp(part.scale + r * own_scales, from, static_cast<size_t>(own_scales)), 0) << name;
  }
}

TEST(ShardedLoading, ReadsWhatThePlanSaysAndEachByteOnce) {
  for (const std::string& folder : {kTiny, kTinyDspark, std::string(FT_TEST_DATA "/goldens/tiny-v4-r128"),
                                    std::string(FT_MODELS "/v4-nano")}) {
    RankPlacer one(0, 1, false);
    const auto whole = Checkpoint::load(folder, one).value();
    const LinearList all = linears_of(*whole);
    EXPECT_EQ(whole->share().copied, 0);
    for (const int size : kRankCounts) {
      int64_t sharded = 0;
      for (int rank = 0; rank < size; ++rank) {
        SCOPED_TRACE(fmt::format("{}, rank {} of {}", folder, rank, size));
        RankPlacer placer(rank, size, false);
        int64_t last = 0;
        const auto loaded = Checkpoint::load(folder, placer, [&](int64_t done, int64_t total) {
          EXPECT_GT(done, last);
          EXPECT_LE(done, total);
          last = done;
        });
        ASSERT_TRUE(loaded) << loaded.error().message;
        const RankShare share = (*loaded)->share();
        EXPECT_EQ(share, rank_share(whole->config(), RankGroup{rank, size, nullptr}));
        EXPECT_EQ(last, share.total());
        EXPECT_EQ(share.replicated, whole->share().replicated);
        sharded += share.sharded;
        int64_t parts = 0;
        for (const WeightPart& part : (*loaded)->parts()) parts += part.bytes;
        EXPECT_EQ(parts, share.total());
        const LinearList own = linears_of(**loaded);
        ASSERT_EQ(own.names, all.names);
        for (size_t i = 0; i < own.weights.size(); ++i)
          expect_part_of(own.weights[i], all.weights[i], own.names[i]);
      }
      EXPECT_EQ(sharded, whole->share().sharded) << size << " ranks";
    }
  }
}

TEST(ShardedLoading, DividesThePublishedModelsNearlyByTheRanks) {
  for (const char* model : {"flash", "pro"}) {
    const std::string path = FT_TEST_DATA "/configs/" + std::string(model) + "/config.json";
    const ModelConfig config = ModelConfig::parse(file_bytes(path), path).value();
    const RankShare whole = rank_share(config, {});
    EXPECT_EQ(whole.total(), checkpoint_size(config).bytes);
    for (const int size : kRankCounts) {
      for (int rank = 0; rank < size; ++rank) {
        const RankShare share = rank_share(config, RankGroup{rank, size, nullptr});
        EXPECT_EQ(share.replicated, whole.replicated);
        const double ideal = static_cast<double>(whole.sharded) / size;
        EXPECT_NEAR(static_cast<double>(share.sharded), ideal, 0.001 * ideal) << model << " " << rank;
      }
    }
    EXPECT_LT(whole.replicated, whole.sharded / 8) << model;
  }
}

// The layout of a checkpoint of 46 files, every one a hole of the size that its tensors have. Of Flash at its true
// widths, with as many layers and experts as are asked for.
class SparseFlash {
 public:
  static constexpr int kFiles = 46;

  SparseFlash(int layers, int experts) {
    const std::string path = FT_TEST_DATA "/configs/flash/config.json";
    json text = json::parse(file_bytes(path));
    const int all = text["num_hidden_layers"].get<int>();
    auto ratios = text["compress_ratios"].get<std::vector<int>>();
    ratios.erase(ratios.begin() + layers, ratios.begin() + all);
    text["num_hidden_layers"] = layers;
    text["n_routed_experts"] = experts;
    text["compress_ratios"] = ratios;
    dir_.write("config.json", text.dump());
    config = ModelConfig::parse(text.dump(), path).value();
    ModelWeights tree;
    Writer writer(checkpoint_size(config).bytes / kFiles + 1);
    visit_weights(config, tree, writer);
    json index;
    for (size_t f = 0; f < writer.headers.size(); ++f) {
      const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", f + 1, writer.headers.size());
      const std::string header = writer.headers[f].dump();
      const uint64_t length = header.size();
      dir_.write(name, std::string(reinterpret_cast<const char*>(&length), 8) + header);
      std::filesystem::resize_file(dir_.file(name), 8 + length + static_cast<uint64_t>(writer.bytes[f]));
      for (const auto& tensor : writer.headers[f].items()) index["weight_map"][tensor.key()] = name;
    }
    files = writer.headers.size();
    dir_.write("model.safetensors.index.json", index.dump());
  }
  const std::string& path() const { return dir_.path(); }

  ModelConfig config;
  size_t files = 0;

 private:
  // Puts tensors into files of about the same size.
  class Writer final : public WeightVisitor {
   public:
    explicit Writer(int64_t file_bytes) : file_bytes_(file_bytes) {}
    void linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
                WeightFormat format) override {
      weight = own_shape(rows, cols, format, ShardSide::kRows, 1, {});
      const bool fp4 = format == WeightFormat::kFp4Row;
      const char* dtype = format == WeightFormat::kBF16 ? "BF16" : fp4 ? "I8" : "F8_E4M3";
      add(name + ".weight", dtype, {rows, fp4 ? cols / 2 : cols}, weight.data_bytes());
      if (weight.scale_bytes() == 0) return;
      const std::vector<int64_t> tiles = {(rows + 127) / 128, (cols + 127) / 128};
      add(name + ".scale", "F8_E8M0", fp4 ? std::vector<int64_t>{rows, cols / 32} : tiles,
          weight.scale_bytes());
    }
    void vector(const std::string& name, Vector&, std::vector<int64_t> shape, DType stored) override {
      int64_t size = byte_size(stored);
      for (const int64_t extent : shape) size *= extent;
      add(name, std::string(safetensors_name(stored)), shape, size);
    }
    void matrix(const std::string& name, Weight&, int64_t rows, int64_t cols) override {
      add(name, "F32", {rows, cols}, rows * cols * 4);
    }
    void table(const std::string& name, const int32_t*&, const int32_t*&, int64_t rows, int64_t cols,
               int64_t) override {
      add(name, "I64", {rows, cols}, rows * cols * 8);
    }
    std::vector<json> headers;
    std::vector<int64_t> bytes;

   private:
    void add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape,
             int64_t size) {
      if (headers.empty() || bytes.back() + size / 2 > file_bytes_) {
        headers.emplace_back(json::object());
        bytes.push_back(0);
      }
      headers.back()[name] = {
          {"dtype", dtype}, {"shape", shape}, {"data_offsets", {bytes.back(), bytes.back() + size}}};
      bytes.back() += size;
    }
    int64_t file_bytes_;
  };

  TempDir dir_;
};

void expect_loads_by_slice(const SparseFlash& flash, int rank, int size) {
  RankPlacer placer(rank, size, true);
  const auto loaded = Checkpoint::load(flash.path(), placer);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ((*loaded)->share(), rank_share(flash.config, RankGroup{rank, size, nullptr}));
  const Weight& expert = (*loaded)->weights().layers[1].ffn.experts.back().w2;
  EXPECT_EQ(expert.rows, 4096);
  EXPECT_EQ(expert.cols, 2048 / size);
  EXPECT_EQ(expert.first_col, rank * 2048 / size);
  // What the device holds is what was read, but for norms that are widened and tables that are narrowed.
  const double read = static_cast<double>((*loaded)->share().total());
  EXPECT_NEAR(static_cast<double>(placer.placed_bytes), read, 0.03 * read);
}

TEST(ShardedLoading, TakesFlashsTrueWidthsFromManyFiles) {
  const SparseFlash flash(4, 16);
  EXPECT_GT(flash.files, 16u);  // fewer than 46: the embedding and the head are large
  expect_loads_by_slice(flash, 0, 8);
  expect_loads_by_slice(flash, 5, 8);
}

TEST(FullShardedLoading, TakesTheWholeOfFlashFrom46Files) {
  const SparseFlash flash(43, 256);
  EXPECT_NEAR(static_cast<double>(flash.files), SparseFlash::kFiles, 2);
  expect_loads_by_slice(flash, 3, 8);
}

}  // namespace
}  // namespace ft
