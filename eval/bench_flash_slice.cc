#include "eval/bench_flash_slice.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>
#include <set>

#include "core/block.h"
#include "core/file.h"
#include "core/kv_cache.h"
#include "core/model.h"
#include "eval/machine_speed.h"
#include "eval/random_weights.h"

namespace ft::eval {

namespace {

constexpr int64_t kRowsMax = 512;
constexpr int64_t kMaxConfigBytes = 16 << 20;
// Layers of V4-Flash by kind (model.md section 1); the two SWA layers are counted as HCA, which reads
// slightly more.
constexpr int kFlashCsa = 21;
constexpr int kFlashHca = 22;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Result<ModelConfig> slice_config(const FlashSliceOptions& options) {
  const auto text = read_file(options.config, kMaxConfigBytes);
  if (!text) return tl::make_unexpected(text.error());
  auto config = ModelConfig::parse(*text, options.config);
  if (!config) return config;
  config->num_hidden_layers = options.layers;
  config->num_hash_layers = 0;
  config->num_nextn_predict_layers = 0;
  config->max_position_embeddings = options.context + kRowsMax;
  config->compress_ratios.clear();
  for (int i = 0; i < options.layers; ++i) config->compress_ratios.push_back(i % 2 == 0 ? 4 : 128);
  return config;
}

class Slice {
 public:
  Slice(Backend& backend, const ModelConfig& config, const FlashSliceOptions& options,
        const RandomWeights& random, std::FILE* out)
      : backend_(backend),
        config_(config),
        options_(options),
        random_(random),
        out_(out),
        cache_(backend, config, config.compress_ratios, limits(options)),
        activations_(backend, config, kRowsMax),
        head_(backend, config, random.weights().head,
              *std::max_element(options.rows.begin(), options.rows.end())) {}

  void run() {
    measure_bandwidth();
    const SequenceId sequence = *cache_.open(options_.context + kRowsMax);
    const int64_t read = std::min(options_.prefill, options_.context);
    fill(sequence, options_.context - read, false);
    const double prefill = fill(sequence, read, true);
    fmt::print(out_,
               "cache: {:.1f} MiB, {:.1f} bytes for each further token of a CSA and an HCA layer\n"
               "prefill: the last {} of {} tokens, {} layers: {:.3f} s, {:.2f} ms per layer and {} rows\n\n",
               static_cast<double>(cache_.bytes()) / (1 << 20), pair_bytes_per_token(), read,
               options_.context, options_.layers, prefill,
               prefill * 1e3 * kRowsMax / static_cast<double>(read) / options_.layers, kRowsMax);
    fmt::print(out_,
               "us per layer; floor = bytes / read bandwidth; %% = floor / time\n"
               "{:>4} | {:>8} {:>7} {:>7} {:>5} | {:>7} {:>7} {:>5} | {:>8} {:>7} {:>5} | {:>7} {:>7} | "
               "{:>6} {:>6} {:>5} | {:>7}\n",
               "rows", "experts", "CSA", "floor", "%", "HCA", "floor", "%", "MoE", "floor", "%", "CSAattn",
               "HCAattn", "head", "floor", "%", "host us");
    for (const int64_t rows : options_.rows) measure_rows(sequence, rows);
    if (options_.kernels) measure_linears();
  }

 private:
  static CacheLimits limits(const FlashSliceOptions& options) {
    CacheLimits limits;
    limits.sequences = 1;
    limits.rows = kRowsMax;
    limits.context = options.context + kRowsMax;
    return limits;
  }

  const StepPlan& stage(KvTransaction& transaction, SequenceId sequence, int64_t rows) {
    std::vector<Row> staged;
    for (int64_t i = 0; i < rows; ++i) {
      const auto token = static_cast<int32_t>((cache_.length(sequence) + i) * 7919 % config_.vocab_size);
      staged.push_back(
          {token, static_cast<int32_t>(cache_.length(sequence) + i), sequence, static_cast<int32_t>(i) - 1});
    }
    activations_.set_rows(rows);
    return transaction.stage(staged);
  }

  // Makes the sequence `tokens` longer and returns the seconds that takes: by computing them, or by declaring
  // what the cache's memory holds to be their keys, which costs a step at that length the same.
  double fill(SequenceId sequence, int64_t tokens, bool compute) {
    const auto start = Clock::now();
    for (int64_t done = 0; done < tokens; done += kRowsMax) {
      KvTransaction transaction = cache_.begin();
      const StepPlan& plan = stage(transaction, sequence, std::min(kRowsMax, tokens - done));
      if (compute) run_layers(plan, -1);
      std::vector<int32_t> all(static_cast<size_t>(plan.rows));
      std::iota(all.begin(), all.end(), 0);
      std::move(transaction).commit(all);
    }
    wait();
    return seconds_since(start);
  }

  double pair_bytes_per_token() const {
    const std::vector<int> pair = {4, 128};
    const auto footprint = KvCache::footprint(config_, pair, limits(options_), backend_.cache_format());
    return static_cast<double>(footprint.bytes_per_page_tokens) / kPageTokens;
  }

  // Layers of one kind (ratio 4 or 128), or all for -1.
  void run_layers(const StepPlan& plan, int ratio) {
    const LayerScope scope{backend_, config_, activations_, plan};
    BlockChain blocks(scope);
    backend_.embed(plan.tokens, random_.weights().embed, config_.hc_mult, activations_.streams);
    for (int i = 0; i < config_.num_hidden_layers; ++i) {
      if (ratio < 0 || config_.compress_ratios[i] == ratio)
        blocks.run(random_.weights().layers[i], cache_.layer(i));
    }
    (void)blocks.streams();
  }

  void wait() {
    float unused = 0.0f;
    backend_.download(&unused, activations_.streams.data, sizeof(unused));
  }

  // Seconds of one execution of `ops`, replayed as a recorded step: the median of five runs of
  // options_.repeats each.
  double time(const std::function<void()>& ops) {
    const std::unique_ptr<StepGraph> graph = backend_.make_graph();
    for (int i = 0; i < 3; ++i) graph->run(ops);
    wait();
    std::vector<double> runs;
    for (int run = 0; run < 5; ++run) {
      const auto start = Clock::now();
      for (int i = 0; i < options_.repeats; ++i) graph->run(ops);
      host_seconds_ = seconds_since(start) / options_.repeats;
      wait();
      runs.push_back(seconds_since(start) / options_.repeats);
    }
    std::nth_element(runs.begin(), runs.begin() + 2, runs.end());
    return runs[2];
  }

  void measure_bandwidth() {
    constexpr double kSeconds = 2.0;
    const bool on_host = backend_.name() != "cuda";
    const MemorySpeed speed =
        on_host ? measure_host_memory(options_.threads, kSeconds) : measure_device_memory(backend_, kSeconds);
    bandwidth_ = speed.read_bytes_per_s;
    fmt::print(out_, "{}: {}\nmemory: read {:.1f} GB/s, copy {:.1f} GB/s (read and written){}\n",
               backend_.name(), backend_.description(), bandwidth_ / 1e9, speed.copy_bytes_per_s / 1e9,
               on_host ? "" : "; the copy stands for reading");
  }

  double floor_us(double bytes) const { return bytes / bandwidth_ * 1e6; }

  // Distinct experts of each layer's rows, on average over the layers of a kind.
  double distinct_experts(const StepPlan& plan, int ratio) {
    const LayerScope scope{backend_, config_, activations_, plan};
    backend_.embed(plan.tokens, random_.weights().embed, config_.hc_mult, activations_.streams);
    std::vector<int32_t> ids(static_cast<size_t>(plan.rows * config_.num_experts_per_tok));
    double total = 0.0;
    int layers = 0;
    for (int i = 0; i < config_.num_hidden_layers; ++i) {
      if (config_.compress_ratios[i] != ratio) continue;
      run_block(scope, random_.weights().layers[i], cache_.layer(i));
      backend_.download(ids.data(), activations_.route_ids, ids.size() * sizeof(int32_t));
      total += static_cast<double>(std::set<int32_t>(ids.begin(), ids.end()).size());
      ++layers;
    }
    return total / layers;
  }

  // Bytes of keys that a row's layer reads, once for all rows (they share them).
  double layer_key_bytes(int ratio) const {
    const RowFormat format = backend_.cache_format();
    const double entries = static_cast<double>(options_.context) / ratio;
    const double window = config_.sliding_window;
    const auto row = static_cast<double>(key_bytes(format, config_.head_dim, config_.qk_rope_head_dim));
    if (layer_kind(ratio) != LayerKind::kCsa) return (window + entries) * row;
    const double scored = entries > config_.index_topk
                              ? entries * static_cast<double>(index_key_bytes(format, config_.index_head_dim))
                              : 0;
    return (window + std::min<double>(entries, config_.index_topk)) * row + scored;
  }

  struct LayerTime {
    double us = 0;
    double floor = 0;
    double experts = 0;
    double attention = 0;
    double moe = 0;
    double moe_floor = 0;
  };

  LayerTime measure_layer(const StepPlan& plan, int ratio) {
    LayerTime result;
    const LayerScope scope{backend_, config_, activations_, plan};
    const int first = layer_kind(ratio) == LayerKind::kCsa ? 0 : 1;
    const double layers = static_cast<double>((config_.num_hidden_layers - first + 1) / 2);
    const auto each = [&](const std::function<void(int)>& body) {
      return time([&] {
               for (int i = first; i < config_.num_hidden_layers; i += 2) body(i);
             }) *
             1e6 / layers;
    };
    result.us = time([&] { run_layers(plan, ratio); }) * 1e6 / layers;
    result.experts = distinct_experts(plan, ratio);
    result.attention =
        each([&](int i) { run_attention(scope, random_.weights().layers[i], cache_.layer(i)); });
    result.moe = each([&](int i) { run_moe(scope, random_.weights().layers[i].ffn); });
    const LayerBytes& bytes = random_.layer_bytes(first);
    const ExpertWeights& shared = random_.weights().layers[first].ffn.shared;
    const double shared_bytes =
        static_cast<double>(shared.w1.data_bytes() + shared.w2.data_bytes() + shared.w3.data_bytes());
    result.floor = floor_us(static_cast<double>(bytes.dense) +
                            result.experts * static_cast<double>(bytes.expert) + layer_key_bytes(ratio));
    result.moe_floor =
        floor_us(shared_bytes + static_cast<double>(random_.weights().layers[first].ffn.gate.data_bytes()) +
                 result.experts * static_cast<double>(bytes.expert));
    return result;
  }

  void measure_rows(SequenceId sequence, int64_t rows) {
    KvTransaction transaction = cache_.begin();
    const StepPlan& plan = stage(transaction, sequence, rows);
    const LayerTime csa = measure_layer(plan, 4);
    const double host = host_seconds_ * 1e6;
    const LayerTime hca = measure_layer(plan, 128);
    const double head =
        time([&] {
          head_.run(activations_.streams, random_.weights().head_collapse, random_.weights().norm);
        }) *
        1e6;
    const double head_floor = floor_us(static_cast<double>(random_.weights().head.data_bytes()));
    const double moe = (csa.moe + hca.moe) / 2;
    const double moe_floor = (csa.moe_floor + hca.moe_floor) / 2;
    fmt::print(out_,
               "{:>4} | {:>8.1f} {:>7.1f} {:>7.1f} {:>5.1f} | {:>7.1f} {:>7.1f} {:>5.1f} | {:>8.1f} {:>7.1f} "
               "{:>5.1f} | {:>7.1f} "
               "{:>7.1f} | {:>6.0f} {:>6.0f} {:>5.1f} | {:>7.1f}\n",
               rows, csa.experts, csa.us, csa.floor, 100 * csa.floor / csa.us, hca.us, hca.floor,
               100 * hca.floor / hca.us, moe, moe_floor, 100 * moe_floor / moe, csa.attention, hca.attention,
               head, head_floor, 100 * head_floor / head, host);
    const double step = (kFlashCsa * csa.us + kFlashHca * hca.us + head) * 1e-3;
    const double step_floor = (kFlashCsa * csa.floor + kFlashHca * hca.floor + head_floor) * 1e-3;
    fmt::print(out_,
               "       projected to {} layers and the head: {:.2f} ms a step, floor {:.2f} ms, {:.1f} %\n",
               kFlashCsa + kFlashHca, step, step_floor, 100 * step_floor / step);
    std::fflush(out_);
  }

  // Each kind of linear alone, layer after layer, so that no weight is in the cache when its turn comes.
  void measure_linears() {
    struct Kind {
      const char* name;
      const Weight& (*weight)(const BlockWeights&);
      LinearInput input;
      bool csa_only;
      int groups;
    };
    const Kind kinds[] = {
        {"wq_a fp8", [](const BlockWeights& b) -> const Weight& { return b.attn.wq_a; }, LinearInput::kQ8,
         false, 1},
        {"wq_b fp8", [](const BlockWeights& b) -> const Weight& { return b.attn.wq_b; }, LinearInput::kQ8,
         false, 1},
        {"wo_a fp8, bf16 input", [](const BlockWeights& b) -> const Weight& { return b.attn.wo_a; },
         LinearInput::kBF16, false, config_.o_groups},
        {"wo_b fp8", [](const BlockWeights& b) -> const Weight& { return b.attn.wo_b; }, LinearInput::kQ8,
         false, 1},
        {"compressor bf16", [](const BlockWeights& b) -> const Weight& { return b.attn.compressor.wkv; },
         LinearInput::kBF16, true, 1},
        {"gate bf16", [](const BlockWeights& b) -> const Weight& { return b.ffn.gate; }, LinearInput::kBF16,
         false, 1},
    };
    const int64_t rows_max = *std::max_element(options_.rows.begin(), options_.rows.end());
    int64_t widest = 0;
    for (const Kind& kind : kinds) {
      const Weight& w = kind.weight(random_.weights().layers[0]);
      widest = std::max({widest, w.rows, w.cols * kind.groups});
    }
    const Buffer in = backend_.allocate(static_cast<size_t>(rows_max * widest) * sizeof(float));
    const Buffer out = backend_.allocate(static_cast<size_t>(rows_max * widest) * sizeof(float));
    std::vector<float> values(static_cast<size_t>(rows_max * widest));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(static_cast<int>(i * 2654435761u >> 20 & 255) - 128) / 64;
    backend_.upload(in.data(), values.data(), values.size() * sizeof(float));
    fmt::print(out_, "\nlinears alone: us (GB/s, %% of the read bandwidth)\n{:>22} {:>7}", "", "MB");
    for (const int64_t rows : options_.rows) fmt::print(out_, " | {:>16}", rows);
    fmt::print(out_, "\n");
    for (const Kind& kind : kinds) {
      const double bytes = static_cast<double>(kind.weight(random_.weights().layers[0]).data_bytes());
      fmt::print(out_, "{:>22} {:>7.1f}", kind.name, bytes / 1e6);
      for (const int64_t rows : options_.rows) {
        const int stride = kind.csa_only ? 2 : 1;
        const int count = (config_.num_hidden_layers + stride - 1) / stride;
        const double seconds = time([&] {
          for (int i = 0; i < config_.num_hidden_layers; i += stride) {
            const Weight& w = kind.weight(random_.weights().layers[i]);
            backend_.linear(Matrix(in.f32(), rows, w.cols * kind.groups), w, Matrix(out.f32(), rows, w.rows),
                            kind.input, LinearOutput::kBF16, kind.groups);
          }
        });
        const double each = seconds / count;
        fmt::print(out_, " | {:>5.1f} {:>5.0f} {:>3.0f}%", each * 1e6, bytes / each / 1e9,
                   100 * bytes / each / bandwidth_);
      }
      fmt::print(out_, "\n");
      std::fflush(out_);
    }
  }

  Backend& backend_;
  const ModelConfig& config_;
  const FlashSliceOptions& options_;
  const RandomWeights& random_;
  std::FILE* out_;
  KvCache cache_;
  Activations activations_;
  LogitsHead head_;
  double bandwidth_ = 0.0;
  double host_seconds_ = 0.0;
};

}  // namespace

Result<void> bench_flash_slice(Backend& backend, const FlashSliceOptions& options, std::FILE* out) {
  if (options.layers < 2 || options.layers > 40 || options.rows.empty() || options.repeats < 1) {
    return fail(ErrorCode::kInvalidArgument, "a slice has 2 to 40 layers (not {}), row counts and repeats",
                options.layers);
  }
  if (options.context < 1 || options.prefill < 1) {
    return fail(ErrorCode::kInvalidArgument, "context {} and prefill {} are not both positive",
                options.context, options.prefill);
  }
  for (const int64_t rows : options.rows) {
    if (rows < 1 || rows > kRowsMax) {
      return fail(ErrorCode::kInvalidArgument, "row count {} is not in 1..{}", rows, kRowsMax);
    }
  }
  const auto config = slice_config(options);
  if (!config) return tl::make_unexpected(config.error());
  backend.reserve(*config, kRowsMax);
  const auto start = Clock::now();
  auto random = RandomWeights::make(*config, backend);
  if (!random) return tl::make_unexpected(random.error());
  fmt::print(out, "{} layers placed in {:.1f} s\n", options.layers, seconds_since(start));
  Slice(backend, *config, options, **random, out).run();
  return {};
}

}  // namespace ft::eval
