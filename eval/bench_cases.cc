#include "eval/bench_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace ft::eval {
namespace {

// V4-Flash (model.md section 1).
constexpr int64_t kHidden = 4096, kExpertWidth = 2048, kHeadDim = 512, kRopeDim = 64, kIndexDim = 128;
constexpr int kHeads = 64, kIndexHeads = 64, kWindow = 128, kTopK = 512, kExpertsPerToken = 6, kStreams = 4;
// Of the 256 experts, so that a case fits small machines; a token still reads six.
constexpr int kExperts = 32;

// xorshift64: the contents only have to be cheap, varied and the same every time.
class Bits {
 public:
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  float value() { return static_cast<float>(static_cast<int32_t>(next() >> 32)) * 0x1p-31f; }  // [-1, 1)
  int32_t integer(int32_t limit) { return static_cast<int32_t>(next() % static_cast<uint64_t>(limit)); }

 private:
  uint64_t state_ = 88172645463325252u;
};

// Backend memory filled with values.
class Inputs {
 public:
  explicit Inputs(Backend& backend) : backend_(backend) {}

  template <class T>
  T* upload(const std::vector<T>& host) {
    buffers_.push_back(backend_.allocate(host.size() * sizeof(T)));
    backend_.upload(buffers_.back().data(), host.data(), host.size() * sizeof(T));
    return static_cast<T*>(buffers_.back().data());
  }
  float* floats(int64_t count) {
    std::vector<float> host(static_cast<size_t>(count));
    for (float& value : host) value = bits_.value();
    return upload(host);
  }
  // Rows as a cache of the backend would hold them.
  KeyRows keys(int64_t rows) {
    const RowFormat format = backend_.cache_format();
    if (format == RowFormat::kF32) return floats(rows * kHeadDim);
    const int64_t bytes = key_bytes(format, kHeadDim, kRopeDim);
    std::vector<uint8_t> packed(static_cast<size_t>(rows * bytes));
    std::vector<float> row(kHeadDim);
    for (int64_t r = 0; r < rows; ++r) {
      for (float& value : row) value = bits_.value();
      pack_key(row.data(), kHeadDim, kRopeDim, packed.data() + r * bytes);
    }
    return {upload(packed), format};
  }
  KeyRows index_keys(int64_t rows) {
    const RowFormat format = backend_.cache_format();
    if (format == RowFormat::kF32) return floats(rows * kIndexDim);
    const int64_t bytes = index_key_bytes(format, kIndexDim);
    std::vector<uint8_t> packed(static_cast<size_t>(rows * bytes));
    std::vector<float> row(kIndexDim);
    for (int64_t r = 0; r < rows; ++r) {
      for (float& value : row) value = bits_.value();
      pack_index_key(row.data(), kIndexDim, packed.data() + r * bytes);
    }
    return {upload(packed), format};
  }
  Matrix matrix(int64_t cols) { return Matrix(floats(kBenchRowsMax * cols), kBenchRowsMax, cols); }
  Vector vector(int64_t count) { return {floats(count), count}; }
  Rotations rotations() { return {floats(kBenchRowsMax * kRopeDim), kRopeDim}; }
  std::vector<int32_t> integers(int64_t count, int32_t limit) {
    std::vector<int32_t> host(static_cast<size_t>(count));
    for (int32_t& value : host) value = bits_.integer(limit);
    return host;
  }
  Weight weight(WeightFormat format, int64_t rows, int64_t cols) {
    Weight weight{format, nullptr, nullptr, rows, cols};
    std::vector<uint8_t> data(static_cast<size_t>(weight.data_bytes()));
    for (size_t i = 0; i + 8 <= data.size(); i += 8) {
      uint64_t word = bits_.next();
      // Small finite values in every format; e4m3 without its NaN codes.
      if (format == WeightFormat::kBF16) word = (word & 0x80ff80ff80ff80ffu) | 0x3c003c003c003c00u;
      if (format == WeightFormat::kF32) word = (word & 0x80ffffff80ffffffu) | 0x3c0000003c000000u;
      if (format == WeightFormat::kFp8Block) word &= 0xbfbfbfbfbfbfbfbfu;
      std::memcpy(data.data() + i, &word, 8);
    }
    weight.data = upload(data);
    if (weight.scale_bytes() > 0) {
      weight.scale = upload(std::vector<uint8_t>(static_cast<size_t>(weight.scale_bytes()), uint8_t{120}));
    }
    return weight;
  }

 private:
  Backend& backend_;
  Bits bits_;
  std::vector<Buffer> buffers_;
};

Matrix first_rows(Matrix all, int64_t rows) {
  return Matrix(all.data, rows, all.cols, all.stride);
}

int64_t copies_of(int64_t bytes, int64_t weight_bytes) {
  return std::max<int64_t>(1, weight_bytes / bytes);
}

BenchCase linear_case(std::string_view label, WeightFormat format, int64_t outputs, int64_t inputs) {
  return {fmt::format("linear {} {}x{}", label, outputs, inputs),
          [=](Backend& backend, int64_t weight_bytes) {
            auto memory = std::make_shared<Inputs>(backend);
            const Weight shape{format, nullptr, nullptr, outputs, inputs};
            const int64_t bytes = shape.data_bytes() + shape.scale_bytes();
            std::vector<Weight> weights(static_cast<size_t>(copies_of(bytes, weight_bytes)));
            for (Weight& weight : weights) weight = memory->weight(format, outputs, inputs);
            const Matrix x = memory->matrix(inputs), y = memory->matrix(outputs);
            PreparedCase prepared;
            prepared.copies = static_cast<int64_t>(weights.size());
            prepared.bytes = [bytes](int64_t) { return bytes; };
            prepared.run = [memory, weights, x, y, &backend](int64_t rows, int64_t copy) {
              backend.linear(first_rows(x, rows), weights[copy], first_rows(y, rows), LinearInput::kQ8,
                             LinearOutput::kBF16);
            };
            return prepared;
          }};
}

BenchCase hyper_connection_case() {
  constexpr int64_t kMixes = (2 + kStreams) * kStreams, kCols = kStreams * kHidden;
  return {
      fmt::format("hc_pre {}x{}", kMixes, kCols), [](Backend& backend, int64_t weight_bytes) {
        auto memory = std::make_shared<Inputs>(backend);
        constexpr int64_t kBytes = kMixes * kCols * 4;
        std::vector<HyperConnectionWeights> weights(static_cast<size_t>(copies_of(kBytes, weight_bytes)));
        for (HyperConnectionWeights& hc : weights) {
          hc = {memory->weight(WeightFormat::kF32, kMixes, kCols), memory->vector(kMixes), memory->vector(3)};
        }
        const Vector norm = memory->vector(kHidden);
        const Matrix streams = memory->matrix(kCols), y = memory->matrix(kHidden);
        const Matrix post = memory->matrix(kStreams), comb = memory->matrix(kStreams * kStreams);
        PreparedCase prepared;
        prepared.copies = static_cast<int64_t>(weights.size());
        prepared.bytes = [](int64_t) { return kBytes; };
        prepared.run = [memory, weights, norm, streams, y, post, comb, &backend](int64_t rows, int64_t copy) {
          backend.hc_pre(first_rows(streams, rows), weights[copy], norm, first_rows(y, rows),
                         first_rows(post, rows), first_rows(comb, rows));
        };
        return prepared;
      }};
}

// A token's experts are drawn at random; `moe` reads each expert of the batch once, and the shared one.
BenchCase moe_case(std::string_view label, WeightFormat format) {
  return {fmt::format("moe {} {} of {} experts", label, kExpertsPerToken, kExperts),
          [=](Backend& backend, int64_t) {
            auto memory = std::make_shared<Inputs>(backend);
            const auto expert = [&](WeightFormat f) {
              return ExpertWeights{memory->weight(f, kExpertWidth, kHidden),
                                   memory->weight(f, kExpertWidth, kHidden),
                                   memory->weight(f, kHidden, kExpertWidth)};
            };
            auto moe = std::make_shared<MoeWeights>();
            for (int e = 0; e < kExperts; ++e) moe->experts.push_back(expert(format));
            moe->shared = expert(WeightFormat::kFp8Block);
            // Copy c takes its rows' experts from another place of the list, so that calls do not share them
            // all.
            constexpr int64_t kCopies = 8;
            Bits bits;
            std::vector<int32_t> ids;
            for (int64_t r = 0; r < kCopies * kBenchRowsMax; ++r) {
              std::vector<int32_t> order(kExperts);
              std::iota(order.begin(), order.end(), 0);
              for (int i = 0; i < kExpertsPerToken; ++i)
                std::swap(order[i], order[i + bits.integer(kExperts - i)]);
              std::sort(order.begin(), order.begin() + kExpertsPerToken);
              ids.insert(ids.end(), order.begin(), order.begin() + kExpertsPerToken);
            }
            const int32_t* device_ids = memory->upload(ids);
            const float* weights = memory->floats(kCopies * kBenchRowsMax * kExpertsPerToken);
            const Matrix x = memory->matrix(kHidden), y = memory->matrix(kHidden);
            PreparedCase prepared;
            prepared.copies = kCopies;
            prepared.bytes = [ids, moe](int64_t rows) {
              const auto size = [](const ExpertWeights& e) {
                int64_t bytes = 0;
                for (const Weight* w : {&e.w1, &e.w3, &e.w2}) bytes += w->data_bytes() + w->scale_bytes();
                return bytes;
              };
              int64_t distinct = 0;  // over all copies
              for (int64_t copy = 0; copy < kCopies; ++copy) {
                const auto begin = ids.begin() + copy * kBenchRowsMax * kExpertsPerToken;
                std::vector<int32_t> used(begin, begin + rows * kExpertsPerToken);
                std::sort(used.begin(), used.end());
                distinct += std::unique(used.begin(), used.end()) - used.begin();
              }
              return distinct * size(moe->experts[0]) / kCopies + size(moe->shared);
            };
            prepared.run = [memory, moe, device_ids, weights, x, y, &backend](int64_t rows, int64_t copy) {
              const int64_t first = copy * kBenchRowsMax * kExpertsPerToken;
              backend.moe(first_rows(x, rows), *moe, device_ids + first, weights + first, kExpertsPerToken,
                          10.0f, first_rows(y, rows));
            };
            return prepared;
          }};
}

// Window plus `entries` compressed entries: each row its own choice (CSA) or all of them (HCA).
BenchCase attention_case(std::string_view label, int32_t entries, bool all_visible) {
  return {fmt::format("attend {} {}+{} keys", label, kWindow, entries), [=](Backend& backend, int64_t) {
            auto memory = std::make_shared<Inputs>(backend);
            constexpr int32_t kRawRows = 512, kPage = 64;
            const int32_t pool = all_visible ? entries : 16 * entries;
            auto view = std::make_shared<CompressedView>();
            if (all_visible) {
              std::vector<int32_t> pages(static_cast<size_t>((entries + kPage - 1) / kPage));
              for (size_t i = 0; i < pages.size(); ++i) pages[i] = static_cast<int32_t>(i) * kPage;
              view->page_table = memory->upload(pages);
              view->page_stride = static_cast<int32_t>(pages.size());
              view->entries_per_page = kPage;
              view->sequence = memory->upload(std::vector<int32_t>(kBenchRowsMax, 0));
              view->committed = memory->upload(std::vector<int32_t>(kBenchRowsMax, entries));
              view->private_offset = memory->upload(std::vector<int32_t>(kBenchRowsMax + 1, 0));
              view->private_entry = memory->upload(std::vector<int32_t>(1, 0));
              view->visible_max = entries;
            }
            AttentionArgs args;
            args.q = memory->matrix(kHeads * kHeadDim);
            args.raw = memory->keys(kRawRows);
            args.window = memory->upload(memory->integers(kBenchRowsMax * kWindow, kRawRows));
            args.window_width = kWindow;
            args.compressed = memory->keys(int64_t{(pool + kPage - 1) / kPage * kPage});
            if (all_visible) {
              args.all_visible = view.get();
            } else {
              args.selected = memory->upload(memory->integers(kBenchRowsMax * entries, pool));
              args.selected_width = entries;
            }
            args.sink = memory->vector(kHeads);
            args.head_count = kHeads;
            args.head_dim = kHeadDim;
            args.inverse = memory->rotations();
            args.out = memory->matrix(kHeads * kHeadDim);
            PreparedCase prepared;
            const int64_t row_bytes = key_bytes(backend.cache_format(), kHeadDim, kRopeDim);
            prepared.bytes = [=](int64_t rows) { return rows * (kWindow + entries) * row_bytes; };
            prepared.run = [args, memory, view, &backend](int64_t rows, int64_t) {
              AttentionArgs call = args;
              call.q = first_rows(args.q, rows);
              call.out = first_rows(args.out, rows);
              backend.attend(call);
            };
            return prepared;
          }};
}

BenchCase index_case(int32_t entries) {
  return {fmt::format("index_select {} of {}", kTopK, entries), [=](Backend& backend, int64_t) {
            auto memory = std::make_shared<Inputs>(backend);
            auto view = std::make_shared<CompressedView>();
            view->page_table = memory->upload(std::vector<int32_t>(1, 0));
            view->page_stride = 1;
            view->entries_per_page = entries;
            view->sequence = memory->upload(std::vector<int32_t>(kBenchRowsMax, 0));
            view->committed = memory->upload(std::vector<int32_t>(kBenchRowsMax, entries));
            view->private_offset = memory->upload(std::vector<int32_t>(kBenchRowsMax + 1, 0));
            view->private_entry = memory->upload(std::vector<int32_t>(1, 0));
            view->visible_max = entries;
            const Matrix q = memory->matrix(kIndexHeads * kIndexDim), weights = memory->matrix(kIndexHeads);
            const KeyRows keys = memory->index_keys(entries);
            int32_t* selected = memory->upload(std::vector<int32_t>(kBenchRowsMax * kTopK, 0));
            PreparedCase prepared;
            const int64_t row_bytes = index_key_bytes(backend.cache_format(), kIndexDim);
            prepared.bytes = [=](int64_t) { return entries * row_bytes; };
            prepared.run = [memory, view, q, weights, keys, selected, &backend](int64_t rows, int64_t) {
              backend.index_select(first_rows(q, rows), first_rows(weights, rows), 0.011f, keys, kIndexDim,
                                   *view, kTopK, selected);
            };
            return prepared;
          }};
}

}  // namespace

const std::vector<BenchCase>& bench_cases() {
  static const std::vector<BenchCase> cases = {
      linear_case("fp8", WeightFormat::kFp8Block, 4096, 4096),
      linear_case("fp8", WeightFormat::kFp8Block, 1024, 4096),
      linear_case("fp8", WeightFormat::kFp8Block, 32768, 1024),
      linear_case("fp4", WeightFormat::kFp4Row, 2048, 4096),
      linear_case("fp4", WeightFormat::kFp4Row, 4096, 2048),
      linear_case("bf16", WeightFormat::kBF16, 4096, 4096),
      linear_case("f32", WeightFormat::kF32, 2048, 4096),
      hyper_connection_case(),
      moe_case("fp4", WeightFormat::kFp4Row),
      attention_case("csa", kTopK, false),
      attention_case("hca", 4096, true),
      index_case(16384),
  };
  return cases;
}

ModelConfig bench_config() {
  ModelConfig config;
  config.hidden_size = kHidden;
  config.num_attention_heads = kHeads;
  config.head_dim = kHeadDim;
  config.qk_rope_head_dim = kRopeDim;
  config.q_lora_rank = 1024;
  config.o_groups = 8;
  config.o_lora_rank = 1024;
  config.sliding_window = kWindow;
  config.compress_ratios = {0, 4, 128};
  config.index_n_heads = kIndexHeads;
  config.index_head_dim = kIndexDim;
  config.index_topk = kTopK;
  config.moe_intermediate_size = kExpertWidth;
  config.n_routed_experts = kExperts;
  config.num_experts_per_tok = kExpertsPerToken;
  config.hc_mult = kStreams;
  config.hc_sinkhorn_iters = 20;
  config.max_position_embeddings = int64_t{1} << 20;
  return config;
}

}  // namespace ft::eval
