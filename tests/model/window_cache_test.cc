// A cache without compressed layers depends on a window of rows and on nothing before it.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>

#include "core/mtp.h"
#include "tests/support/loaded_model.h"

namespace ft {
namespace {

class WindowCache : public ::testing::TestWithParam<std::tuple<std::string, Numerics>> {};

// The MTP block over a sequence, and the same after a skip over everything but the window.
TEST_P(WindowCache, SkippingAllButAWindowChangesNoBit) {
  constexpr int64_t kLength = 200;
  constexpr int64_t kRows = 50;
  support::LoadedModel loaded(FT_TEST_DATA "/goldens/tiny-v4", std::get<0>(GetParam()),
                              std::get<1>(GetParam()), kRows);
  const ModelConfig& config = loaded.model->config();
  CacheLimits limits;
  limits.sequences = 2;
  limits.rows = kRows;
  limits.context = 512;
  MtpBlock block(*loaded.backend, *loaded.checkpoint, 0, limits);
  KvCache& cache = block.cache();

  // Any streams will do: they are the block's input.
  std::mt19937 random(21);
  const int64_t cols = config.hc_mult * config.hidden_size;
  std::vector<float> streams(static_cast<size_t>(kLength * cols));
  for (float& value : streams)
    value = static_cast<float>(static_cast<int32_t>(random() % 257) - 128) * 0x1p-7f;  // a bf16 number
  std::vector<int32_t> tokens(static_cast<size_t>(kLength));
  for (int32_t& token : tokens)
    token = static_cast<int32_t>(random() % static_cast<uint32_t>(config.vocab_size));
  const Buffer input = loaded.backend->allocate(static_cast<size_t>(kRows * cols) * sizeof(float));

  // Appends the rows [first, end) of position; returns their output streams.
  const auto append = [&](SequenceId sequence, int64_t first, int64_t end) {
    std::vector<float> outputs;
    for (; first < end; first += kRows) {
      const int64_t count = std::min(kRows, end - first);
      loaded.backend->upload(input.data(), streams.data() + first * cols,
                             static_cast<size_t>(count * cols) * sizeof(float));
      std::vector<Row> rows;
      for (int32_t i = 0; i < count; ++i)
        rows.push_back(
            {tokens[static_cast<size_t>(first + i)], static_cast<int32_t>(first) + i, sequence, i - 1});
      std::vector<int32_t> path(rows.size());
      std::iota(path.begin(), path.end(), 0);
      KvTransaction transaction = cache.begin();
      const Matrix out = block.forward(transaction.stage(rows), Matrix(input.f32(), count, cols));
      const size_t before = outputs.size();
      outputs.resize(before + static_cast<size_t>(count * cols));
      loaded.backend->download(outputs.data() + before, out.data,
                               static_cast<size_t>(count * cols) * sizeof(float));
      std::move(transaction).commit(path);
    }
    return outputs;
  };

  const SequenceId plain = *cache.open(kLength);
  const std::vector<float> want = append(plain, 0, kLength);
  cache.close(plain);
  const int64_t window = config.sliding_window;
  for (int64_t begin : {int64_t{0}, int64_t{3}}) {
    for (int64_t skip : {begin + 1, int64_t{40}, int64_t{150}}) {
      const SequenceId id = *cache.open(kLength);
      append(id, 0, begin);
      cache.skip_to(id, skip);
      ASSERT_EQ(cache.length(id), skip);
      append(id, skip, skip + window - 1);
      const std::vector<float> got = append(id, skip + window - 1, kLength);
      ASSERT_EQ(got.size(), static_cast<size_t>((kLength - skip - window + 1) * cols));
      EXPECT_EQ(std::memcmp(got.data(), want.data() + (skip + window - 1) * cols, got.size() * sizeof(float)),
                0)
          << "from " << begin << " to " << skip;
      cache.check_integrity();
      cache.close(id);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, WindowCache,
                         ::testing::Combine(::testing::ValuesIn(support::model_backends()),
                                            ::testing::Values(Numerics::kExact, Numerics::kOfficial)),
                         [](const auto& case_info) {
                           return std::get<0>(case_info.param) +
                                  (std::get<1>(case_info.param) == Numerics::kExact ? "_exact" : "_official");
                         });

}  // namespace
}  // namespace ft
