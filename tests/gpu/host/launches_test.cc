// What the CUDA backend launches, seen without a device: fake_runtime.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "core/backend.h"
#include "core/model.h"
#include "core/weights.h"
#include "tests/gpu/host/fake_runtime.h"
#include "tests/support/thread_comm.h"

namespace ft::test {
namespace {

using Names = std::vector<std::string>;

class Loaded {
 public:
  Loaded(const std::string& checkpoint, Numerics numerics, int32_t rows, const RankGroup& ranks = {})
      : backend_(std::move(make_cuda_backend(numerics, ranks).value())),
        checkpoint_(Checkpoint::load(FT_TEST_DATA "/goldens/" + checkpoint, *backend_).value()) {
    CacheLimits limits;
    limits.rows = rows;
    limits.sequences = 1;
    limits.context = limits.total_tokens = 256;
    model_ = std::make_unique<Model>(*backend_, *checkpoint_, limits);
    sequence_ = *model_->cache().open(200);
  }

  // One step of this many rows, the logits of the last wanted.
  void step(int32_t count) {
    const auto length = static_cast<int32_t>(model_->cache().length(sequence_));
    std::vector<Row> rows;
    for (int32_t i = 0; i < count; ++i) rows.push_back({i % 7, length + i, sequence_, i - 1});
    KvTransaction transaction = model_->cache().begin();
    const int32_t last[] = {count - 1};
    (void)model_->forward(transaction.stage(rows), last);
    std::vector<int32_t> all(static_cast<size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    std::move(transaction).commit(all);
  }

  const ModelConfig& config() const { return model_->config(); }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Model> model_;
  SequenceId sequence_ = 0;
};

Names names(const std::vector<Launch>& launches) {
  Names all;
  for (const Launch& launch : launches) all.push_back(launch.kernel);
  return all;
}

// The launches of each layer: the two entries of a layer begin with pre_kernel, and so does the head. What joins the
// last output to the streams is no layer's.
std::vector<Names> layers_of(const Names& step, int count) {
  std::vector<size_t> entries;
  for (size_t i = 0; i < step.size(); ++i) {
    if (step[i] == "pre_kernel") entries.push_back(i);
  }
  EXPECT_EQ(entries.size(), static_cast<size_t>(2 * count + 1)) << ::testing::PrintToString(step);
  std::vector<Names> layers;
  for (size_t i = 0; i + 2 < entries.size(); i += 2) {
    const auto first = step.begin() + static_cast<int64_t>(entries[i]);
    const auto end = step.begin() + static_cast<int64_t>(entries[i + 2]);
    layers.emplace_back(first, std::find(first, end, "post_kernel"));
  }
  return layers;
}

TEST(Launches, PerLayerAreFewAndTheSameForOneToEightRows) {
  const std::map<int, size_t> most = {{0, 10}, {4, 12}, {16, 10}};  // by ratio: SWA, CSA, HCA
  Loaded loaded("tiny-v4", Numerics::kOfficial, 16);
  for (const int32_t rows : {1, 4, 8}) {
    (void)take_launches();
    loaded.step(rows);
    const auto layers = layers_of(names(take_launches()), loaded.config().num_hidden_layers);
    for (size_t i = 0; i < layers.size(); ++i) {
      const int ratio = loaded.config().compress_ratios[i];
      EXPECT_EQ(layers[i].size(), most.at(ratio))
          << "ratio " << ratio << ", " << rows << " rows: " << ::testing::PrintToString(layers[i]);
    }
  }
}

// Of many rows, products of the same rows share their prepared input: of the quantised, of the plain, of the queries.
TEST(Launches, OfManyRowsPrepareAnInputOnce) {
  Loaded loaded("tiny-v4", Numerics::kOfficial, 64);
  (void)take_launches();
  loaded.step(48);
  const auto layers = layers_of(names(take_launches()), loaded.config().num_hidden_layers);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (loaded.config().compress_ratios[i] != 4) continue;
    const auto norm = std::find(layers[i].begin(), layers[i].end(), "rms_norm_kernel");
    EXPECT_EQ(std::count(layers[i].begin(), norm, "prepare_kernel"), 2)
        << ::testing::PrintToString(layers[i]);
    EXPECT_EQ(std::count(layers[i].begin(), norm, "many_kernel"), 7);
  }
}

TEST(Launches, AreWhatADeviceTakes) {
  for (const char* checkpoint : {"tiny-v4", "tiny-v4-r128"}) {
    for (const Numerics numerics : {Numerics::kOfficial, Numerics::kExact}) {
      Loaded loaded(checkpoint, numerics, 64);
      for (const int32_t rows : {1, 1, 1, 7, 9, 33, 64}) loaded.step(rows);  // the third is a replay
    }
  }
  EXPECT_TRUE(refused().empty()) << ::testing::PrintToString(refused());
}

// The widths of these checkpoints do not divide in eight: some ranks own nothing of a layer, and go on all the same.
TEST(Launches, OfRanksAddWhatTheyExchange) {
  for (const char* checkpoint : {"tiny-v4", "tiny-v4-r128"}) {
    for (const Numerics numerics : {Numerics::kOfficial, Numerics::kExact}) {
      for (const int count : {2, 4, 8}) {
        ThreadGroup(count).run([&](const RankGroup& ranks) {
          Loaded loaded(checkpoint, numerics, 64, ranks);
          for (const int32_t rows : {1, 1, 1, 9, 33, 64}) {
            (void)take_launches();
            loaded.step(rows);
            const Names step = names(take_launches());
            // wo_b and the experts of each layer; the columns of the logits.
            EXPECT_EQ(std::count(step.begin(), step.end(), "add_kernel"),
                      2 * loaded.config().num_hidden_layers);
            EXPECT_EQ(std::count(step.begin(), step.end(), "unpack_kernel"), 1);
          }
        });
      }
    }
  }
  EXPECT_TRUE(refused().empty()) << ::testing::PrintToString(refused());
}

}  // namespace
}  // namespace ft::test
