// Ops that share a launch: the same bits as where each has its own, which more rows make sure of.
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <tuple>

#include "core/layer_kind.h"
#include "core/rope.h"
#include "tests/support/backend_memory.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/random_data.h"

namespace ft::test {
namespace {

constexpr int64_t kRows = 12;
constexpr int kRatio = 4;

// The first half of a CSA layer and its router and experts, for the first `count` of kRows rows.
class Layer {
 public:
  Layer(int64_t low, int64_t head_dim, int64_t index_dim)
      : low_(low), head_dim_(head_dim), index_dim_(index_dim) {
    RandomData random(3);
    input_ = random.values(kRows * kWidth);
    wq_a_ = random.weight(WeightFormat::kFp8Block, low, kWidth);
    wkv_ = random.weight(WeightFormat::kFp8Block, head_dim, kWidth);
    compressor_k_ = random.weight(WeightFormat::kBF16, 2 * head_dim, kWidth);
    compressor_g_ = random.weight(WeightFormat::kBF16, 2 * head_dim, kWidth);
    wq_b_ = random.weight(WeightFormat::kFp8Block, kHeads * head_dim, low);
    index_wq_b_ = random.weight(WeightFormat::kFp8Block, 2 * index_dim, low);
    q_norm_ = random.uniform(low, 0.5f, 1.5f);
    kv_norm_ = random.uniform(head_dim, 0.5f, 1.5f);
    ape_ = random.values(kRatio * 2 * head_dim);
    old_state_ = random.values(kRatio * 4 * head_dim);
    gate_ = random.weight(WeightFormat::kBF16, kExperts, kWidth);
    bias_ = random.uniform(kExperts, 0.0f, 0.1f);
    for (int i = 0; i <= kExperts; ++i) {
      const auto format = i == kExperts ? WeightFormat::kFp8Block : WeightFormat::kFp4Row;
      experts_.push_back({random.weight(format, kInner, kWidth), random.weight(format, kInner, kWidth),
                          random.weight(format, kWidth, kInner)});
    }
  }

  // What each of the rows becomes: of every output a vector.
  std::vector<RowOutput> run(Backend& backend, int64_t count) const {
    const ModelConfig config = nano_config();
    backend.reserve(config, kRows);
    BackendMemory memory(backend, 4);
    const auto rows = [&](int64_t cols) { return memory.output(count, cols); };
    std::vector<float> in(input_.begin(), input_.begin() + count * kWidth);
    const Matrix x = memory.activation(in, kWidth);
    std::vector<int32_t> positions(static_cast<size_t>(count));
    std::iota(positions.begin(), positions.end(), 5);
    std::vector<int32_t> places(static_cast<size_t>(count));
    std::iota(places.begin(), places.end(), kRatio);
    const RopeTable table = RopeTable::plain(config);
    const Rotations rotations = memory.rotations(table, positions);
    const Matrix low = rows(low_), normed = rows(low_), query = rows(kHeads * head_dim_),
                 kv = rows(head_dim_);
    const Matrix k = rows(2 * head_dim_), g = rows(2 * head_dim_), index_query = rows(2 * index_dim_);
    float* raw = memory.output_floats((kRows + kRatio) * head_dim_);
    std::vector<float> state = old_state_;
    state.resize(static_cast<size_t>((kRows + kRatio) * 4 * head_dim_), 0.0f);
    float* states = memory.floats(state);
    float* entries = memory.output_floats(head_dim_);
    // One entry closes over four rows that were there and four that are not of this call.
    std::vector<int32_t> sources(static_cast<size_t>(pooled_blocks(kRatio) * kRatio), -1);
    for (int i = 0; i < kRatio; ++i) sources[static_cast<size_t>(i)] = i;
    const Weight wq_a = memory.weight(wq_a_), wkv = memory.weight(wkv_), wq_b = memory.weight(wq_b_);
    const Weight compressor_k = memory.weight(compressor_k_), compressor_g = memory.weight(compressor_g_);
    const Weight index_wq_b = memory.weight(index_wq_b_);
    const int32_t* dst = memory.ints(places);
    const int32_t* source_rows = memory.ints(sources);
    const int32_t* entry_dst = memory.ints({0});
    const int32_t* positions_there = memory.ints(positions);
    const Vector kv_norm = memory.vector(kv_norm_), q_norm = memory.vector(q_norm_),
                 ape = memory.vector(ape_);
    const Rotations entry_rotations = memory.rotations(table, {4});

    const LinearCall down[] = {{x, &wq_a, low, LinearInput::kQ8, LinearOutput::kBF16},
                               {x, &wkv, kv, LinearInput::kQ8, LinearOutput::kBF16},
                               {x, &compressor_k, k},
                               {x, &compressor_g, g}};
    backend.linears(down);
    {
      const IndependentOps together(backend);
      backend.store_kv(kv, kv_norm, rotations, raw, dst);
      backend.store_compressor_rows(k, g, ape, positions_there, kRatio, states, dst);
    }
    backend.rms_norm(low, q_norm, normed);
    const LinearCall up[] = {{normed, &wq_b, query, LinearInput::kQ8, LinearOutput::kBF16},
                             {normed, &index_wq_b, index_query, LinearInput::kQ8, LinearOutput::kBF16}};
    backend.linears(up);
    {
      const IndependentOps together(backend);
      backend.query_norm_rope(query, head_dim_, 1, rotations);
      backend.index_query(index_query, index_dim_, rotations);
      backend.compress(states, source_rows, 1, kRatio, head_dim_, kv_norm, entry_rotations, false, entries,
                       entry_dst);
    }
    std::vector<RowOutput> outputs(static_cast<size_t>(count));
    for (const Matrix& matrix : {low, normed, query, kv, k, g, index_query})
      append(outputs, memory.read(matrix));
    const auto stored = memory.read(raw + kRatio * head_dim_, count * head_dim_);
    append(outputs, stored);
    append(outputs, memory.read(states + kRatio * 4 * head_dim_, count * 4 * head_dim_));
    const auto entry = memory.read(entries, head_dim_);
    for (RowOutput& output : outputs) output.values.push_back(entry);
    add_experts(backend, memory, x, outputs);
    return outputs;
  }

 private:
  static constexpr int64_t kWidth = 512;
  static constexpr int64_t kHeads = 3;
  static constexpr int kExperts = 10;
  static constexpr int64_t kInner = 256;

  void add_experts(Backend& backend, BackendMemory& memory, const Matrix& x,
                   std::vector<RowOutput>& outputs) const {
    MoeWeights moe;
    moe.gate = memory.weight(gate_);
    moe.bias = memory.vector(bias_);
    for (int i = 0; i <= kExperts; ++i) {
      const auto& [w1, w3, w2] = experts_[static_cast<size_t>(i)];
      ExpertWeights& to = i == kExperts ? moe.shared : moe.experts.emplace_back();
      to.w1 = memory.weight(w1);
      to.w3 = memory.weight(w3);
      to.w2 = memory.weight(w2);
    }
    constexpr int kChosen = 3;
    int32_t* ids = memory.output_ints(x.rows * kChosen);
    float* weights = memory.output_floats(x.rows * kChosen);
    const Matrix y = memory.output(x.rows, kWidth);
    backend.route(x, moe, nullptr, kChosen, 1.5f, ids, weights);
    backend.moe(x, moe, ids, weights, kChosen, 7.0f, y);
    const auto chosen = memory.read(ids, x.rows * kChosen);
    for (size_t r = 0; r < outputs.size(); ++r)
      outputs[r].ints.assign(chosen.begin() + static_cast<int64_t>(r) * kChosen,
                             chosen.begin() + static_cast<int64_t>(r + 1) * kChosen);
    append(outputs, memory.read(weights, x.rows * kChosen));
    append(outputs, memory.read(y));
  }

  int64_t low_, head_dim_, index_dim_;
  std::vector<float> input_, q_norm_, kv_norm_, ape_, old_state_, bias_;
  HostWeight wq_a_, wkv_, compressor_k_, compressor_g_, wq_b_, index_wq_b_, gate_;
  std::vector<std::array<HostWeight, 3>> experts_;  // w1, w3, w2; the shared one last
};

// Heads of one block each, of several blocks, and several of a block.
TEST(Joint, LaunchesGiveTheBitsOfSeparateOnes) {
  using Dims = std::tuple<int64_t, int64_t, int64_t>;
  for (const auto& [low, head_dim, index_dim] :
       {Dims{256, 128, 128}, Dims{1024, 128, 64}, Dims{2048, 256, 64}}) {
    SCOPED_TRACE(std::to_string(low) + ", heads of " + std::to_string(head_dim) + " and " +
                 std::to_string(index_dim));
    const Layer layer(low, head_dim, index_dim);
    const auto made = backends_under_test().front().make(Numerics::kOfficial);
    Backend& backend = *made;
    const std::vector<RowOutput> apart = layer.run(backend, kRows);
    for (const int64_t count : {1, 2, 5, 8}) {
      const std::vector<RowOutput> first(apart.begin(), apart.begin() + count);
      EXPECT_TRUE(same_bits(layer.run(backend, count), first)) << count << " rows";
      EXPECT_TRUE(same_bits(layer.run(backend, count), first))
          << count << " rows again: tickets are back at zero";
    }
  }
}

}  // namespace
}  // namespace ft::test
