// The eight virtual shards of core/shards.h: where they cut, and that sums over them are what they are said to
// be, on any number of ranks.
#include "core/shards.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/file.h"
#include "tests/support/backend_memory.h"
#include "tests/support/backends.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"
#include "tests/support/thread_comm.h"

namespace ft::test {
namespace {

constexpr int kRankCounts[] = {1, 2, 4, 8};

ModelConfig published(const std::string& model) {
  const std::string path = FT_TEST_DATA "/configs/" + model + "/config.json";
  return ModelConfig::parse(*read_file(path, 1 << 20), path).value();
}

TEST(ShardedAxis, CutsBetweenUnitsWhateverTheirNumber) {
  const auto edges = [](const ShardedAxis& axis) {
    std::vector<int64_t> all;
    for (int shard = 0; shard <= kShards; ++shard) all.push_back(axis.edge(shard));
    return all;
  };
  EXPECT_EQ(edges({16, 1}), (std::vector<int64_t>{0, 2, 4, 6, 8, 10, 12, 14, 16}));
  EXPECT_EQ(edges({10, 1}), (std::vector<int64_t>{0, 1, 2, 3, 5, 6, 7, 8, 10}));
  EXPECT_EQ(edges({3, 1}), (std::vector<int64_t>{0, 0, 0, 1, 1, 1, 2, 2, 3}));
  EXPECT_EQ(edges({320, 128}), (std::vector<int64_t>{0, 0, 0, 128, 128, 128, 256, 256, 320}));
  EXPECT_EQ(edges({64, 128}), (std::vector<int64_t>{0, 0, 0, 0, 0, 0, 0, 0, 64}));
}

TEST(ShardedAxis, RanksOwnItOnceAndInOrder) {
  for (const int64_t size : {1, 5, 8, 2048, 129'280}) {
    for (const int ranks : kRankCounts) {
      int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const ShardedAxis axis{size, 1};
        const ShardRange own = axis.of(RankGroup{rank, ranks, nullptr});
        EXPECT_EQ(own.begin, next);
        EXPECT_EQ(own_edges(axis, RankGroup{rank, ranks, nullptr}).at[kShards / ranks], own.size());
        next = own.end;
      }
      EXPECT_EQ(next, size);
    }
  }
}

TEST(ShardedAxis, DividesThePublishedModelsInEqualParts) {
  for (const char* model : {"flash", "pro"}) {
    const ModelConfig config = published(model);
    EXPECT_EQ(attention_unit_groups(config), 1);
    for (const ShardedAxis axis : {head_axis(config), query_axis(config), projected_axis(config),
                                   expert_axis(config.moe_intermediate_size)}) {
      for (int shard = 0; shard < kShards; ++shard)
        EXPECT_EQ(axis.of(ShardSpan{shard, 1}).size() * kShards, axis.size) << model;
    }
  }
}

TEST(ShardedAxis, NeverCutsATileOfScales) {
  ModelConfig config;
  for (const int groups : {1, 2, 6, 16}) {
    for (const int64_t rank : {32, 64, 96, 1024}) {
      for (const int64_t head_dim : {48, 64, 512}) {
        config.num_attention_heads = 2 * groups;
        config.head_dim = head_dim;
        config.o_groups = groups;
        config.o_lora_rank = rank;
        for (const ShardedAxis axis : {query_axis(config), projected_axis(config)}) {
          for (int shard = 0; shard < kShards; ++shard)
            EXPECT_TRUE(axis.edge(shard) % kShardTile == 0 || axis.edge(shard) == axis.size);
        }
        EXPECT_EQ(query_axis(config).edge(3), head_axis(config).edge(3) * head_dim);
      }
    }
  }
}

// The rows and columns of a weight that a rank has.
HostWeight part_of(const HostWeight& whole, ShardRange rows, ShardRange cols) {
  Weight shape;
  shape.format = whole.format;
  shape.rows = 1;
  shape.cols = whole.cols;
  const int64_t row_bytes = shape.data_bytes();
  shape.cols = cols.begin;
  const int64_t skipped = shape.data_bytes();
  shape.cols = cols.size();
  const int64_t kept = shape.data_bytes();
  HostWeight part{whole.format, rows.size(), cols.size(), {}, {}};
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const auto from = whole.data.begin() + r * row_bytes + skipped;
    part.data.insert(part.data.end(), from, from + kept);
  }
  const bool fp8 = whole.format == WeightFormat::kFp8Block;
  if (!fp8 && whole.format != WeightFormat::kFp4Row) return part;
  const int64_t tall = fp8 ? 128 : 1, wide = fp8 ? 128 : 32;
  const int64_t stride = (whole.cols + wide - 1) / wide;
  for (int64_t r = rows.begin / tall; r < (rows.end + tall - 1) / tall; ++r) {
    for (int64_t c = cols.begin / wide; c < (cols.end + wide - 1) / wide; ++c)
      part.scale.push_back(whole.scale[static_cast<size_t>(r * stride + c)]);
  }
  return part;
}

Weight place_part(BackendMemory& memory, const HostWeight& whole, ShardRange rows, ShardRange cols) {
  static constexpr uint8_t kNothing = 0;
  Weight weight;
  if (rows.size() > 0 && cols.size() > 0) {
    weight = memory.weight(part_of(whole, rows, cols));
  } else {
    weight = Weight{whole.format, &kNothing, &kNothing, rows.size(), cols.size()};
  }
  weight.first_row = rows.begin;
  weight.first_col = cols.begin;
  weight.whole_rows = whole.rows;
  weight.whole_cols = whole.cols;
  return weight;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct SumShape {
  WeightFormat format;
  int64_t cols;
  int64_t unit;
  int64_t rows;
};

constexpr SumShape kSumShapes[] = {
    {WeightFormat::kFp8Block, 1024, 128, 72}, {WeightFormat::kFp8Block, 2560, 256, 33},
    {WeightFormat::kFp8Block, 384, 128, 200}, {WeightFormat::kFp8Block, 64, 128, 16},
    {WeightFormat::kFp4Row, 2048, 128, 40},   {WeightFormat::kFp4Row, 672, 128, 19},
    {WeightFormat::kBF16, 1100, 128, 24},
};

TEST(ShardSums, AreTheTreeOfTheProductsOverEachShard) {
  RandomData random(7);
  for (const SumShape& shape : kSumShapes) {
    const HostWeight host = random.weight(shape.format, shape.rows, shape.cols);
    const ShardedAxis axis{shape.cols, shape.unit};
    for (const int64_t m : {1, 2, 3, 5, 9, 17}) {
      const auto x = random.values(m * shape.cols);
      for (const BackendUnderTest& under_test : backends_under_test()) {
        for (const Numerics numerics : kBothNumerics) {
          const auto backend = under_test.make(numerics);
          backend->reserve(nano_config(), m);
          BackendMemory memory(*backend);
          const Matrix in = memory.activation(x, shape.cols);
          std::vector<std::vector<float>> partials(kShards);
          for (int shard = 0; shard < kShards; ++shard) {
            const ShardRange own = axis.of(ShardSpan{shard, 1});
            partials[shard].resize(static_cast<size_t>(m * shape.rows));
            if (own.size() == 0) continue;
            const Matrix y = memory.output(m, shape.rows);
            const Weight part = memory.weight(part_of(host, {0, shape.rows}, own));
            backend->linear(Matrix(in.data + own.begin, m, own.size(), in.stride), part, y, LinearInput::kQ8,
                            LinearOutput::kF32);
            partials[shard] = memory.read(y);
          }
          const auto& p = partials;
          std::vector<float> expected(p[0].size());
          for (size_t i = 0; i < expected.size(); ++i) {
            expected[i] =
                ((p[0][i] + p[1][i]) + (p[2][i] + p[3][i])) + ((p[4][i] + p[5][i]) + (p[6][i] + p[7][i]));
            if (numerics == Numerics::kOfficial) expected[i] = round_bf16(expected[i]);
          }
          const Matrix y = memory.output(m, shape.rows);
          backend->shard_linear(in, memory.weight(host), shape.unit, y, LinearInput::kQ8,
                                LinearOutput::kBF16);
          EXPECT_TRUE(same_bits(memory.read(y), expected))
              << under_test.label << ", " << numerics_name(numerics) << ", " << shape.cols << " columns, "
              << m << " rows";
        }
      }
    }
  }
}

// A backend of one of the two kinds on the host; `threads` 0 is the reference.
std::unique_ptr<Backend> make_ranked(int threads, Numerics numerics, const RankGroup& ranks) {
  return threads == 0 ? make_reference_backend(numerics, ranks) : make_cpu_backend(numerics, threads, ranks);
}

// What every rank has after `op`, which must be the same everywhere.
template <class Op>
std::vector<float> on_ranks(int count, int threads, Numerics numerics, const Op& op) {
  ThreadGroup group(count);
  std::vector<std::vector<float>> results(static_cast<size_t>(count));
  group.run([&](const RankGroup& ranks) {
    const auto backend = make_ranked(threads, numerics, ranks);
    backend->reserve(nano_config(), 20);
    BackendMemory memory(*backend);
    results[static_cast<size_t>(ranks.rank)] = op(memory, ranks);
  });
  for (const auto& result : results) EXPECT_TRUE(same_bits(result, results[0])) << count << " ranks";
  return results[0];
}

template <class Op>
void expect_same_on_any_ranks(const std::string& what, const Op& op) {
  for (const int threads : {0, 1, 2}) {
    for (const Numerics numerics : kBothNumerics) {
      const std::vector<float> alone = on_ranks(1, threads, numerics, op);
      for (const int count : {2, 4, 8})
        EXPECT_TRUE(same_bits(on_ranks(count, threads, numerics, op), alone))
            << what << ": " << count << " ranks, " << threads << " threads, " << numerics_name(numerics);
    }
  }
}

TEST(ShardSums, OfLinearsAreTheSameOnAnyNumberOfRanks) {
  RandomData random(8);
  for (const SumShape& shape : kSumShapes) {
    const HostWeight host = random.weight(shape.format, shape.rows, shape.cols);
    for (const int64_t m : {1, 4, 18}) {
      const auto x = random.values(m * shape.cols);
      expect_same_on_any_ranks("shard_linear", [&](BackendMemory& memory, const RankGroup& ranks) {
        const Weight weight =
            place_part(memory, host, {0, host.rows}, ShardedAxis{shape.cols, shape.unit}.of(ranks));
        const Matrix y = memory.output(m, shape.rows);
        memory.backend().shard_linear(memory.activation(x, shape.cols), weight, shape.unit, y,
                                      LinearInput::kQ8, LinearOutput::kBF16);
        return memory.read(y);
      });
    }
  }
}

TEST(ShardSums, OfExpertsAreTheSameOnAnyNumberOfRanks) {
  constexpr int64_t kWidth = 96;
  constexpr int kExperts = 5, kChosen = 2;
  RandomData random(9);
  for (const int64_t inner : {1024, 1280, 320, 64}) {
    const auto expert = [&](WeightFormat format) {
      return std::vector<HostWeight>{random.weight(format, inner, kWidth),
                                     random.weight(format, inner, kWidth),
                                     random.weight(format, kWidth, inner)};
    };
    std::vector<std::vector<HostWeight>> experts;
    for (int e = 0; e < kExperts; ++e) experts.push_back(expert(WeightFormat::kFp4Row));
    const auto shared = expert(WeightFormat::kFp8Block);
    for (const int64_t m : {1, 3, 18}) {
      const auto x = random.values(m * kWidth, 2.0f);
      std::vector<int32_t> ids;
      for (int64_t r = 0; r < m; ++r) {
        const int32_t first = random.integer(0, kExperts - 2);
        ids.insert(ids.end(), {first, random.integer(first + 1, kExperts - 1)});
      }
      const auto weights = random.uniform(m * kChosen, 0.1f, 1.5f);
      expect_same_on_any_ranks("moe", [&](BackendMemory& memory, const RankGroup& ranks) {
        const ShardRange own = expert_axis(inner).of(ranks);
        const ShardRange all{0, kWidth};
        const auto place = [&](const std::vector<HostWeight>& host) {
          return ExpertWeights{place_part(memory, host[0], own, all), place_part(memory, host[1], own, all),
                               place_part(memory, host[2], all, own)};
        };
        MoeWeights moe;
        for (const auto& host : experts) moe.experts.push_back(place(host));
        moe.shared = place(shared);
        const Matrix y = memory.output(m, kWidth);
        memory.backend().moe(memory.activation(x, kWidth), moe, memory.ints(ids), memory.floats(weights),
                             kChosen, 10.0f, y);
        return memory.read(y);
      });
    }
  }
}

TEST(OwnedRows, OfALinearAreGatheredFromAllRanks) {
  constexpr int64_t kWidth = 128;
  RandomData random(10);
  for (const int64_t outputs : {1024, 1000, 300, 40}) {
    const HostWeight host = random.weight(WeightFormat::kBF16, outputs, kWidth);
    for (const int64_t m : {1, 3}) {
      const auto x = random.values(m * kWidth);
      expect_same_on_any_ranks("linear", [&](BackendMemory& memory, const RankGroup& ranks) {
        const Weight weight = place_part(memory, host, vocabulary_axis(outputs).of(ranks), {0, kWidth});
        const Matrix y = memory.output(m, outputs);
        memory.backend().linear(memory.activation(x, kWidth), weight, y, LinearInput::kAsIs,
                                LinearOutput::kF32);
        memory.backend().gather_columns(y, vocabulary_axis(outputs).unit);
        return memory.read(y);
      });
    }
  }
}

TEST(OwnedRows, OfAGroupedLinearReadTheColumnsOfTheirGroups) {
  constexpr int kGroups = 6;
  constexpr int64_t kWidth = 128, kOutputs = 128;
  RandomData random(11);
  const HostWeight host = random.weight(WeightFormat::kFp8Block, kGroups * kOutputs, kWidth);
  for (const int64_t m : {1, 3}) {
    const auto x = random.values(m * kGroups * kWidth);
    expect_same_on_any_ranks("grouped linear", [&](BackendMemory& memory, const RankGroup& ranks) {
      const Weight weight = place_part(memory, host, ShardedAxis{host.rows, kOutputs}.of(ranks), {0, kWidth});
      const Matrix y = memory.output(m, host.rows);
      memory.backend().linear(memory.activation(x, kGroups * kWidth), weight, y, LinearInput::kAsIs,
                              LinearOutput::kBF16, kGroups);
      memory.backend().gather_columns(y, kOutputs);
      return memory.read(y);
    });
  }
}

}  // namespace
}  // namespace ft::test
