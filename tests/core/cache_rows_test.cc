// Packed rows of a cache: no bit is lost, and the ops give the same bits on them as on float32 rows.
#include "core/cache_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "core/cpu/target.h"
#include "tests/support/entry_pool.h"
#include "tests/support/op_cases.h"

namespace ft::test {
namespace {

constexpr int64_t kHeadDim = 512, kRopeDim = 64, kIndexDim = 128;

std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size() * sizeof(float));
  return bits;
}

// Rows of widely different magnitudes, zeros of both signs among them, as official numerics leave keys.
std::vector<float> keys(RandomData& random, int64_t rows, int64_t head_dim, int64_t rope_dim) {
  std::vector<float> values = random.values(rows * head_dim);
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % 7 == 0) values[i] = i % 2 == 0 ? 0.0f : -0.0f;
    values[i] = round_bf16(values[i] * exp2_int(random.integer(-30, 30)));
  }
  for (int64_t r = 0; r < rows; ++r) q8sim(values.data() + r * head_dim, head_dim - rope_dim);
  return values;
}

std::vector<float> index_keys(RandomData& random, int64_t rows) {
  std::vector<float> values = random.values(rows * kIndexDim);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < kIndexDim; ++c) values[r * kIndexDim + c] *= exp2_int(random.integer(-9, 9));
    q4sim(values.data() + r * kIndexDim, kIndexDim);
  }
  return values;
}

std::vector<uint8_t> packed_keys(const std::vector<float>& rows, int64_t head_dim, int64_t rope_dim) {
  const int64_t count = static_cast<int64_t>(rows.size()) / head_dim;
  const int64_t bytes = key_bytes(RowFormat::kPacked, head_dim, rope_dim);
  std::vector<uint8_t> packed(static_cast<size_t>(count * bytes));
  for (int64_t r = 0; r < count; ++r)
    pack_key(rows.data() + r * head_dim, head_dim, rope_dim, packed.data() + r * bytes);
  return packed;
}

std::vector<float> unpacked_keys(const std::vector<uint8_t>& packed, int64_t head_dim, int64_t rope_dim) {
  const int64_t bytes = key_bytes(RowFormat::kPacked, head_dim, rope_dim);
  const int64_t count = static_cast<int64_t>(packed.size()) / bytes;
  std::vector<float> rows(static_cast<size_t>(count * head_dim));
  for (int64_t r = 0; r < count; ++r)
    unpack_key(packed.data() + r * bytes, head_dim, rope_dim, rows.data() + r * head_dim);
  return rows;
}

TEST(CacheRows, HaveThePapersSize) {
  EXPECT_EQ(key_bytes(RowFormat::kPacked, kHeadDim, kRopeDim), 584);
  EXPECT_EQ(index_key_bytes(RowFormat::kPacked, kIndexDim), 68);
  EXPECT_EQ(key_bytes(RowFormat::kF32, kHeadDim, kRopeDim), 2048);
  EXPECT_EQ(index_key_bytes(RowFormat::kF32, kIndexDim), 512);
}

TEST(CacheRows, ComeBackWithTheSameBits) {
  RandomData random(81);
  for (const auto& [head_dim, rope_dim] : {std::pair<int64_t, int64_t>{512, 64}, {128, 64}, {90, 10}}) {
    const std::vector<float> rows = keys(random, 40, head_dim, rope_dim);
    EXPECT_EQ(bits_of(unpacked_keys(packed_keys(rows, head_dim, rope_dim), head_dim, rope_dim)),
              bits_of(rows))
        << head_dim;
  }
  const std::vector<float> rows = index_keys(random, 40);
  std::vector<uint8_t> packed(68);
  std::vector<float> row(kIndexDim);
  for (int64_t r = 0; r < 40; ++r) {
    const std::vector<float> before(rows.begin() + r * kIndexDim, rows.begin() + (r + 1) * kIndexDim);
    pack_index_key(before.data(), kIndexDim, packed.data());
    unpack_index_key(packed.data(), kIndexDim, row.data());
    EXPECT_EQ(bits_of(row), bits_of(before)) << r;
  }
}

// The CPU backend in official numerics, on every instruction set of this processor.
class PackedOps : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cpu::use_target(GetParam()));
    backend_ = make_cpu_backend(Numerics::kOfficial, 1);
    backend_->reserve(config_, kCaseRows);
    ASSERT_EQ(backend_->cache_format(), RowFormat::kPacked);
  }
  void TearDown() override { EXPECT_TRUE(cpu::use_target("auto")); }

  // The ops run on the host, so its memory is theirs.
  ModelConfig config_ = wide_head_config();
  std::unique_ptr<Backend> backend_;
  RandomData random_{82};
};

TEST_P(PackedOps, StoreWhatTheyWouldStoreInFloat32) {
  BackendMemory memory(*backend_);
  const Matrix x = memory.activation(random_.values(kCaseRows * kHeadDim), kHeadDim);
  const Vector norm = memory.vector(random_.uniform(kHeadDim, 0.5f, 1.5f));
  const Rotations rotations =
      memory.rotations(RopeTable::compressed(config_), random_.integers(kCaseRows, 0, 8000));
  const auto slots = random_.permutation(kCaseRows);
  std::vector<float> plain(kCaseRows * kHeadDim);
  std::vector<uint8_t> packed(kCaseRows * 584);
  backend_->store_kv(x, norm, rotations, plain.data(), slots.data());
  backend_->store_kv(x, norm, rotations, CacheRows(packed.data(), RowFormat::kPacked), slots.data());
  EXPECT_EQ(bits_of(unpacked_keys(packed, kHeadDim, kRopeDim)), bits_of(plain));
}

TEST_P(PackedOps, CompressToWhatTheyWouldStoreInFloat32) {
  BackendMemory memory(*backend_);
  for (const bool is_index_key : {false, true}) {
    const int64_t c = is_index_key ? kIndexDim : kHeadDim;
    constexpr int kRatio = 4, kStates = 100;
    const std::vector<float> state = random_.values(kStates * 4 * c);
    const auto sources = random_.integers(kCaseRows * 2 * kRatio, 0, kStates - 1);
    const Vector norm = memory.vector(random_.uniform(c, 0.5f, 1.5f));
    const Rotations rotations =
        memory.rotations(RopeTable::compressed(config_), random_.integers(kCaseRows, 0, 8000));
    std::vector<int32_t> slots(kCaseRows);
    std::iota(slots.begin(), slots.end(), 0);
    const int64_t bytes = is_index_key ? 68 : 584;
    std::vector<float> plain(static_cast<size_t>(kCaseRows * c)), again(plain.size());
    std::vector<uint8_t> packed(static_cast<size_t>(kCaseRows * bytes));
    backend_->compress(state.data(), sources.data(), kCaseRows, kRatio, c, norm, rotations, is_index_key,
                       plain.data(), slots.data());
    backend_->compress(state.data(), sources.data(), kCaseRows, kRatio, c, norm, rotations, is_index_key,
                       CacheRows(packed.data(), RowFormat::kPacked), slots.data());
    for (int64_t r = 0; r < kCaseRows; ++r) {
      if (is_index_key) {
        unpack_index_key(packed.data() + r * bytes, c, again.data() + r * c);
      } else {
        unpack_key(packed.data() + r * bytes, c, kRopeDim, again.data() + r * c);
      }
    }
    EXPECT_EQ(bits_of(again), bits_of(plain)) << is_index_key;
  }
}

TEST_P(PackedOps, AttendWithTheSameBits) {
  constexpr int64_t kRawRows = 150;
  const int heads = config_.num_attention_heads;
  const std::vector<float> raw = keys(random_, kRawRows, kHeadDim, kRopeDim);
  const EntryPool pool(random_, kHeadDim, 200);
  const std::vector<float> entries = keys(random_, pool.entry_count(), kHeadDim, kRopeDim);
  const std::vector<uint8_t> packed_raw = packed_keys(raw, kHeadDim, kRopeDim);
  const std::vector<uint8_t> packed_entries = packed_keys(entries, kHeadDim, kRopeDim);
  for (const int64_t count : {1, 5, 33}) {
    BackendMemory memory(*backend_);
    RowList rows(static_cast<size_t>(count));
    std::iota(rows.begin(), rows.end(), 0);
    const CompressedView view = pool.view(memory, rows);
    AttentionArgs args;
    args.q = memory.activation(random_.values(count * heads * kHeadDim), heads * kHeadDim);
    args.window_width = 70;
    args.window = memory.ints(random_.integers(count * args.window_width, 0, kRawRows - 1));
    args.all_visible = &view;
    args.sink = memory.vector(random_.uniform(heads, -2.0f, 4.0f));
    args.head_count = heads;
    args.head_dim = kHeadDim;
    args.inverse = memory.rotations(RopeTable::compressed(config_), random_.integers(count, 0, 8000));
    args.raw = raw.data();
    args.compressed = entries.data();
    args.out = memory.output(count, heads * kHeadDim);
    backend_->attend(args);
    const auto plain = memory.read(args.out);
    args.raw = KeyRows(packed_raw.data(), RowFormat::kPacked);
    args.compressed = KeyRows(packed_entries.data(), RowFormat::kPacked);
    args.out = memory.output(count, heads * kHeadDim);
    backend_->attend(args);
    EXPECT_EQ(bits_of(memory.read(args.out)), bits_of(plain)) << count << " rows";
  }
}

TEST_P(PackedOps, ScoreWithTheSameBits) {
  const int64_t heads = config_.index_n_heads;
  const EntryPool pool(random_, kIndexDim, 200);
  const std::vector<float> entries = index_keys(random_, pool.entry_count());
  std::vector<uint8_t> packed(static_cast<size_t>(pool.entry_count()) * 68);
  for (int32_t i = 0; i < pool.entry_count(); ++i)
    pack_index_key(entries.data() + i * kIndexDim, kIndexDim, packed.data() + i * 68);
  BackendMemory memory(*backend_);
  RowList rows(kCaseRows);
  std::iota(rows.begin(), rows.end(), 0);
  const CompressedView view = pool.view(memory, rows);
  const Matrix q = memory.activation(random_.values(kCaseRows * heads * kIndexDim), heads * kIndexDim);
  const Matrix weights = memory.activation(random_.values(kCaseRows * heads), heads);
  const auto scores_of = [&](KeyRows index_rows) {
    Matrix scores = memory.output(kCaseRows, view.visible_max);
    backend_->index_select(q, weights, 0.01f, index_rows, kIndexDim, view, 24,
                           memory.output_ints(kCaseRows * 24), &scores);
    return bits_of(memory.read(scores));
  };
  EXPECT_EQ(scores_of(KeyRows(packed.data(), RowFormat::kPacked)), scores_of(entries.data()));
}

INSTANTIATE_TEST_SUITE_P(ThisCpu, PackedOps, testing::ValuesIn(cpu::available_targets()),
                         [](const auto& target) {
                           std::string name(target.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace ft::test
