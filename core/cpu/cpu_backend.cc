#include "core/cpu/cpu_backend.h"

#include <algorithm>

#include "core/check.h"
#include "core/cpu/attention.h"
#include "core/cpu/indexer.h"
#include "core/cpu/projections.h"
#include "core/cpu/shard_sum.h"
#include "core/cpu/streams.h"
#include "core/host_exchange.h"
#include "core/layer_kind.h"
#include "core/ranks/own_part.h"

namespace ft::cpu {
namespace {

// Scores of one pass of index_select. More rows than fit are taken pass by pass.
constexpr int64_t kScoreFloatsMax = int64_t{4} << 20;

}  // namespace

void CpuBackend::do_reserve(const ModelConfig& config, int64_t rows) {
  FT_CHECK(hc_mult_ <= kStreamsMax, hc_mult_, kStreamsMax);

  const int64_t d = config.hidden_size;
  const int64_t pairs = rows * config.num_experts_per_tok;
  const int64_t moe = config.moe_intermediate_size;
  const int64_t linear =
      hc_mult_ * stored_rows(rows) *
          (padded_columns(std::max({d * hc_mult_, config.q_lora_rank, config.o_groups * config.o_lora_rank,
                                    config.num_attention_heads * config.head_dim})) +
           config.o_groups * kBlockColumns) +
      shard_sum_floats(rows, d);
  const int64_t experts = 3 * stored_rows(rows) * padded_columns(d) +
                          (pairs + rows + 2) * 4 * padded_columns(moe) + shard_sum_floats(rows, d);
  const int64_t columns = gather_scratch_floats(ranks(), rows, vocabulary_axis(config.vocab_size));
  int64_t compressed_max = config.index_topk;
  for (const int ratio : config.compress_ratios) {
    if (layer_kind(ratio) == LayerKind::kHca)
      compressed_max = std::max(compressed_max, config.max_position_embeddings / ratio);
  }
  const int64_t keys = config.sliding_window + config.dspark.longest_block() + compressed_max;
  const int64_t attention = parallel_.threads() * attention_scratch_floats(keys, config.head_dim);
  const int64_t index =
      std::max(kScoreFloatsMax, config.max_position_embeddings / 4) + rows * config.index_topk +
      parallel_.threads() * score_scratch_floats(config.index_n_heads, config.index_head_dim);
  // Each op rounds what it takes to cache lines; 4 KiB is more than all of that.
  scratch_.plan(static_cast<size_t>(std::max({linear, experts, attention, index, columns})) * sizeof(float) +
                4096);
  groups_.reserve(config.n_routed_experts, pairs);
  jobs_.reserve(static_cast<size_t>(2 * config.n_routed_experts + 2));
}

void CpuBackend::copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                           const int32_t* dst, int64_t count) {
  auto* to = static_cast<std::byte*>(destination);
  const auto* from = static_cast<const std::byte*>(source);
  parallel_.run(count, count * row_bytes / 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(to + dst[i] * row_bytes, from + src[i] * row_bytes, static_cast<size_t>(row_bytes));
    }
  });
}

void CpuBackend::do_gather_rows(const int32_t* ids, const Weight& table, Matrix out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    FT_CHECK(ids[r] >= 0 && ids[r] < table.rows, r, ids[r], table.rows);
    const int64_t offset = ids[r] * table.cols;
    float* y = out.row(r);
    if (table.format == WeightFormat::kF32) {
      std::copy_n(static_cast<const float*>(table.data) + offset, table.cols, y);
    } else {
      const auto* x = static_cast<const uint16_t*>(table.data) + offset;
      for (int64_t c = 0; c < table.cols; ++c) y[c] = bf16_to_f32(x[c]);
    }
  }
}

void CpuBackend::do_embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) {
  do_gather_rows(tokens, table, Matrix(streams.data, streams.rows, table.cols, streams.stride));
  for (int64_t r = 0; r < streams.rows; ++r) {
    for (int s = 1; s < stream_count; ++s)
      std::copy_n(streams.row(r), table.cols, streams.row(r) + s * table.cols);
  }
}

CpuBackend::RowForm CpuBackend::form(LinearInput input, WeightFormat format, int groups) const {
  const bool scaled = format == WeightFormat::kFp8Block || format == WeightFormat::kFp4Row;
  const bool quantize = official_ && input == LinearInput::kQ8 && scaled;
  using enum RowForm::Type;
  if (quantize && format == WeightFormat::kFp4Row && groups == 1) return {kCodes, true};
  if (official_ && input != LinearInput::kAsIs && uses_bf16_products() &&
      (format == WeightFormat::kFp8Block || format == WeightFormat::kBF16))
    return {kBf16, quantize};
  return {wants_paired(format) ? kPairedFloats : kFloats, quantize};
}

PrepareJob CpuBackend::preparation(Matrix x, int64_t k, int groups, RowForm form) {
  using enum RowForm::Type;
  PrepareJob job{x, k, groups, form.type == kPairedFloats, form.quantize};
  const int64_t columns = stored_rows(x.rows) * groups * padded_columns(k);
  if (form.type == kCodes) {
    job.codes = scratch_.take<CodeBlock>(columns / kBlockColumns);
  } else if (form.type == kBf16) {
    job.bf16 = scratch_.take<uint16_t>(columns);
  } else if (job.paired || form.quantize || k % 32 != 0 || groups != 1) {
    job.floats = scratch_.take<float>(columns);
  }
  return job;
}

Prepared CpuBackend::prepare(Matrix x, int64_t k, int groups, RowForm form) {
  const PrepareJob job = preparation(x, k, groups, form);
  parallel_.run(x.rows, x.rows * x.cols / (form.quantize ? 4 : 8),
                [&](int64_t begin, int64_t end, int) { prepare_rows(job, begin, end); });
  return job.prepared();
}

void CpuBackend::run_linear(const LinearJob& job) {
  parallel_.run(job.tiles(), job.cost(),
                [&](int64_t begin, int64_t end, int) { linear_tiles(job, begin, end); });
}

// All tiles of all jobs are one range, so that one start of the team covers experts of any size.
void CpuBackend::run_jobs(const std::vector<LinearJob>& jobs) {
  int64_t tiles = 0, cost = 0;
  for (const LinearJob& job : jobs) {
    tiles += job.tiles();
    cost += job.cost();
  }
  parallel_.run(tiles, cost, [&](int64_t begin, int64_t end, int) {
    for (const LinearJob& job : jobs) {
      const int64_t count = job.tiles();
      if (begin < count && end > 0) linear_tiles(job, std::max<int64_t>(begin, 0), std::min(end, count));
      begin -= count;
      end -= count;
    }
  });
}

const float* CpuBackend::mixes(Matrix streams, const Weight& fn) {
  float* z = scratch_.take<float>(streams.rows * fn.rows);
  const Prepared x = prepare(streams, fn.cols, 1, form(LinearInput::kAsIs, fn.format, 1));
  run_linear({&fn, 1, x, nullptr, streams.rows, z, fn.rows, false});
  return z;
}

void CpuBackend::do_hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y,
                           Matrix post, Matrix comb) {
  scratch_.reset();
  const int n = static_cast<int>(post.cols);
  const HyperConnectionJob job{
      streams, mixes(streams, hc.fn), hc.base,       hc.scale, norm,     y, post, comb,
      n,       hc_sinkhorn_iters_,    rms_norm_eps_, hc_eps_,  official_};
  parallel_.run(streams.rows, streams.rows * (streams.cols / 4 + 1500),
                [&](int64_t begin, int64_t end, int) { hc_entry_rows(job, begin, end); });
}

void CpuBackend::do_hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) {
  scratch_.reset();
  const int n = static_cast<int>(head.fn.rows);
  const HyperConnectionJob job{
      streams, mixes(streams, head.fn), head.base,     head.scale, {},       y, {}, {},
      n,       hc_sinkhorn_iters_,      rms_norm_eps_, hc_eps_,    official_};
  parallel_.run(streams.rows, streams.rows * streams.cols / 4,
                [&](int64_t begin, int64_t end, int) { hc_head_rows(job, begin, end); });
}

void CpuBackend::do_hc_post(Matrix streams, const SublayerOutput& before) {
  const HyperConnectionExitJob job{streams, before.output, before.post, before.comb, official_};
  parallel_.run(streams.rows, streams.rows * streams.cols / 4,
                [&](int64_t begin, int64_t end, int) { hc_exit_rows(job, begin, end); });
}

void CpuBackend::do_stream_mean(Matrix streams, int stream_count, Matrix out) {
  parallel_.run(streams.rows, streams.rows * streams.cols / 4, [&](int64_t begin, int64_t end, int) {
    stream_mean_rows(streams, stream_count, out, official_, begin, end);
  });
}

void CpuBackend::do_combine_streams(Matrix e, Matrix h, Matrix streams) {
  parallel_.run(streams.rows, streams.rows * streams.cols / 4,
                [&](int64_t begin, int64_t end, int) { combine_rows(e, h, streams, official_, begin, end); });
}

void CpuBackend::do_rms_norm(Matrix x, Vector weight, Matrix y) {
  parallel_.run(x.rows, x.rows * x.cols / 4, [&](int64_t begin, int64_t end, int) {
    rms_norm_rows(x, weight, y, rms_norm_eps_, official_, begin, end);
  });
}

void CpuBackend::do_linear(const LinearCall& call) {
  do_linears(std::span(&call, 1));
}

// All products are one start of the team, and calls that read the same rows in the same form share them.
void CpuBackend::do_linears(std::span<const LinearCall> calls) {
  scratch_.reset();
  jobs_.clear();
  for (size_t i = 0; i < calls.size(); ++i) {
    const LinearCall call = own_part(calls[i]);
    const Weight& weight = *call.weight;
    const RowForm wanted = form(call.input, weight.format, call.groups);
    const auto same_rows = [&](const LinearCall& other) {
      return other.weight->rows > 0 && other.x.data == call.x.data && other.x.stride == call.x.stride &&
             other.groups == call.groups && other.weight->cols == weight.cols &&
             form(other.input, other.weight->format, other.groups) == wanted;
    };
    if (weight.rows == 0) {
      jobs_.push_back({&weight, 1, {}, nullptr, 0, nullptr, 0, false});
      continue;
    }
    const auto before = calls.first(i);
    const auto found = std::ranges::find_if(before, same_rows);
    const Prepared in = found != before.end() ? jobs_[static_cast<size_t>(found - before.begin())].x
                                              : prepare(call.x, weight.cols, call.groups, wanted);
    jobs_.push_back({&weight, call.groups, in, nullptr, call.x.rows, call.y.data, call.y.stride,
                     official_ && call.output == LinearOutput::kBF16});
  }
  run_jobs(jobs_);
}

int64_t CpuBackend::shard_sum_floats(int64_t rows, int64_t outputs) const {
  return shard_sum_scratch_floats(rows, own_shards(ranks()).count, parallel_.threads()) +
         (ranks().size > 1 ? ranks().size * rows * outputs : 0);
}

void CpuBackend::sum_shards(const ShardEdges& edges, Matrix y, bool round) {
  const RankGroup group = ranks();
  ShardSumJob job{jobs_, edges, y, round, shard_sum_panel(y.rows, edges.count, y.cols, parallel_.threads()),
                  {}};
  job.sums = scratch_.take<float>(parallel_.threads() * y.rows * edges.count * job.panel);
  float* partials = nullptr;
  const int64_t each = y.rows * y.cols;
  if (group.size > 1) {
    partials = scratch_.take<float>(group.size * each);
    job.y = Matrix(partials + group.rank * each, y.rows, y.cols);
    job.round = false;
  }
  int64_t cost = 0;
  for (const LinearJob& product : jobs_) cost += product.cost();
  parallel_.run(job.units(), cost,
                [&](int64_t begin, int64_t end, int thread) { shard_sum_units(job, begin, end, thread); });
  if (group.size == 1) return;
  gather_partials(group, partials, each);
  parallel_.run(y.rows, each * group.size / 8, [&](int64_t begin, int64_t end, int) {
    const float* of_rank[kShards];
    for (int64_t r = begin; r < end; ++r) {
      for (int rank = 0; rank < group.size; ++rank) of_rank[rank] = partials + rank * each + r * y.cols;
      add_shards(of_rank, group.size, y.cols, y.row(r), round);
    }
  });
}

void CpuBackend::do_shard_linear(const LinearCall& whole, int64_t unit) {
  scratch_.reset();
  const LinearCall call = own_columns(whole);
  const Weight& weight = *call.weight;
  jobs_.clear();
  if (weight.cols > 0) {
    const Prepared in = prepare(call.x, weight.cols, 1, form(call.input, weight.format, 1));
    jobs_.push_back({&weight, 1, in, nullptr, call.x.rows, nullptr, 0, false});
  }
  sum_shards(own_edges({weight.all_cols(), unit}, ranks()), call.y,
             official_ && call.output == LinearOutput::kBF16);
}

void CpuBackend::do_gather_columns(Matrix y, int64_t unit) {
  scratch_.reset();
  const ShardedAxis columns{y.cols, unit};
  ft::gather_columns(ranks(), y, columns,
                     scratch_.take<float>(gather_scratch_floats(ranks(), y.rows, columns)));
}

void CpuBackend::do_query_norm_rope(Matrix queries, int64_t head_dim, int head_unit, Rotations rotations) {
  const Matrix q = own_queries(queries, head_dim, head_unit, ranks());
  parallel_.run(q.rows * (q.cols / head_dim), q.rows * q.cols / 4, [&](int64_t begin, int64_t end, int) {
    query_heads(q, head_dim, rotations, rms_norm_eps_, official_, begin, end);
  });
}

void CpuBackend::do_store_kv(Matrix x, Vector norm, Rotations rotations, CacheRows raw, const int32_t* dst) {
  const StoreKvJob job{x, norm, rotations, raw, dst, rms_norm_eps_, official_};
  parallel_.run(x.rows, x.rows * x.cols / 2,
                [&](int64_t begin, int64_t end, int) { store_kv_rows(job, begin, end); });
}

void CpuBackend::do_store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions, int ratio,
                                          float* state, const int32_t* dst) {
  const int64_t width = k.cols;
  for (int64_t r = 0; r < k.rows; ++r) {
    float* out = state + dst[r] * 2 * width;
    const float* offset = ape.data + positions[r] % ratio * width;
    const float* gate = g.row(r);
    std::copy_n(k.row(r), width, out);
    for (int64_t c = 0; c < width; ++c) out[width + c] = gate[c] + offset[c];
  }
}

void CpuBackend::do_compress(const float* state, const int32_t* sources, int64_t count, int ratio,
                             int64_t head_dim, Vector norm, Rotations rotations, bool is_index_key,
                             CacheRows out, const int32_t* dst) {
  const CompressJob job{state,        sources, ratio, head_dim,      norm,     rotations,
                        is_index_key, out,     dst,   rms_norm_eps_, official_};
  parallel_.run(count, count * head_dim * std::max(ratio, 8),
                [&](int64_t begin, int64_t end, int) { compress_entries(job, begin, end); });
}

void CpuBackend::do_index_query(Matrix q, int64_t head_dim, Rotations rotations) {
  parallel_.run(q.rows * (q.cols / head_dim), q.rows * q.cols, [&](int64_t begin, int64_t end, int) {
    index_query_heads(q, head_dim, rotations, official_, begin, end);
  });
}

void CpuBackend::do_index_select(Matrix q, Matrix weights, float weight_scale, KeyRows keys, int64_t head_dim,
                                 const CompressedView& view, int top_k, int32_t* selected, Matrix* scores) {
  scratch_.reset();
  const bool scored = scores != nullptr || view.visible_max > top_k;
  const int64_t stride = (std::max(view.visible_max, 1) + 15) / 16 * 16;
  const int64_t pass_rows = std::clamp<int64_t>(kScoreFloatsMax / stride, 1, q.rows);
  ScoreJob job{q,        weights,  weight_scale,
               keys,     head_dim, &view,
               0,        0,        (view.visible_max + kScoreChunk - 1) / kScoreChunk,
               nullptr,  stride,   nullptr,
               official_};
  if (scored) {
    job.scores = scratch_.take<float>(pass_rows * stride);
    job.thread_scratch =
        scratch_.take<float>(parallel_.threads() * score_scratch_floats(weights.cols, head_dim));
  }
  for (int64_t first = 0; first < q.rows; first += pass_rows) {
    const int64_t rows = std::min(pass_rows, q.rows - first);
    if (scored) {
      job.first_row = first;
      job.rows = rows;
      const int64_t units = rows * job.chunks;
      parallel_.run(units, units * kScoreChunk * q.cols / 32,
                    [&](int64_t begin, int64_t end, int thread) { score_units(job, begin, end, thread); });
    }
    parallel_.run(rows, rows * view.visible_max * 4, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = first + i;
        const int32_t visible = visible_count(view, row);
        const int32_t taken = std::min(visible, top_k);
        int32_t* out = selected + row * top_k;
        const float* row_scores = job.scores + i * stride;
        if (visible > top_k) {
          select_largest(row_scores, visible, top_k, out);
        } else {
          for (int32_t j = 0; j < visible; ++j) out[j] = j;
        }
        for (int32_t s = 0; s < taken; ++s) out[s] = entry_address(view, row, out[s]);
        std::fill(out + taken, out + top_k, -1);
        if (scores != nullptr) std::copy_n(row_scores, visible, scores->row(row));
      }
    });
  }
}

void CpuBackend::do_attend(const AttentionArgs& all) {
  const AttentionArgs args = own_part(all, ranks());
  if (args.head_count == 0) return;
  scratch_.reset();
  AttentionJob job{&args, attention_key_max(args), attention_head_block(args, parallel_.threads()), nullptr,
                   official_};
  job.thread_scratch =
      scratch_.take<float>(parallel_.threads() * attention_scratch_floats(job.key_max, args.head_dim));
  parallel_.run(job.units(), args.q.rows * args.q.cols * job.key_max / 16,
                [&](int64_t begin, int64_t end, int thread) { attention_units(job, begin, end, thread); });
}

void CpuBackend::do_route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                          int32_t* ids, float* weights) {
  const int64_t experts = moe.gate.rows;
  scratch_.reset();
  float* scores = scratch_.take<float>(x.rows * experts);
  const Prepared in = prepare(x, x.cols, 1, form(LinearInput::kBF16, moe.gate.format, 1));
  run_linear({&moe.gate, 1, in, nullptr, x.rows, scores, experts, false});
  const RouteJob job{&moe, tokens, scores, k, route_scale, ids, weights};
  parallel_.run(x.rows, x.rows * experts * (k + 2),
                [&](int64_t begin, int64_t end, int) { route_rows(job, begin, end); });
}

void CpuBackend::do_moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
                        float swiglu_limit, Matrix y) {
  scratch_.reset();
  const int64_t expert_count = static_cast<int64_t>(moe.experts.size());
  const int64_t rows = x.rows, pairs = rows * k, all = pairs + rows;
  const int64_t d = x.cols, width = moe.shared.w1.rows;  // of the intermediate columns that are there
  const ShardEdges edges = own_edges(expert_axis(moe.shared.w1.all_rows()), ranks());
  if (width == 0) {
    jobs_.clear();
    return sum_shards(edges, y, official_);
  }
  groups_.build(ids, weights, rows, k, expert_count);

  // Routed and shared experts may differ in what their weights want of the rows.
  const RowForm routed_form = form(LinearInput::kQ8, moe.experts[0].w1.format, 1);
  const RowForm shared_form = form(LinearInput::kQ8, moe.shared.w1.format, 1);
  const Prepared shared_in = prepare(x, d, 1, shared_form);
  const Prepared routed_in = routed_form == shared_form ? shared_in : prepare(x, d, 1, routed_form);
  float* gate = scratch_.take<float>(all * width);
  float* up = scratch_.take<float>(all * width);
  jobs_.clear();
  const auto add_inputs = [&](const ExpertWeights& expert, const Prepared& in, const int32_t* x_rows,
                              int64_t count, int64_t first) {
    jobs_.push_back({&expert.w1, 1, in, x_rows, count, gate + first * width, width, official_});
    jobs_.push_back({&expert.w3, 1, in, x_rows, count, up + first * width, width, official_});
  };
  for (int64_t e = 0; e < expert_count; ++e) {
    const int32_t first = groups_.first[e], count = groups_.first[e + 1] - first;
    if (count > 0) add_inputs(moe.experts[e], routed_in, groups_.row.data() + first, count, first);
  }
  add_inputs(moe.shared, shared_in, nullptr, rows, pairs);
  run_jobs(jobs_);

  // The gated unit, and its rows prepared for w2: those of the routed pairs, then those of the shared expert.
  const GatedUnitJob unit{gate, up, width, groups_.weight.data(), pairs, swiglu_limit, official_};
  const PrepareJob routed = preparation(Matrix(gate, pairs, width), width, 1, routed_form);
  const PrepareJob shared = preparation(Matrix(gate + pairs * width, rows, width), width, 1, shared_form);
  parallel_.run(all, all * width, [&](int64_t begin, int64_t end, int) {
    gated_unit_rows(unit, begin, end);
    if (begin < pairs) prepare_rows(routed, begin, std::min(end, pairs));
    if (end > pairs) prepare_rows(shared, std::max<int64_t>(begin - pairs, 0), end - pairs);
  });

  jobs_.clear();
  for (int64_t e = 0; e < expert_count; ++e) {
    const int32_t first = groups_.first[e], count = groups_.first[e + 1] - first;
    if (count == 0) continue;
    jobs_.push_back(
        {&moe.experts[e].w2, 1, routed.prepared().from_row(first), nullptr, count, nullptr, 0, false});
    jobs_.back().y_rows = groups_.row.data() + first;
  }
  jobs_.push_back({&moe.shared.w2, 1, shared.prepared(), nullptr, rows, nullptr, 0, false});
  sum_shards(edges, y, official_);
}

}  // namespace ft::cpu

namespace ft {

std::unique_ptr<Backend> make_cpu_backend(Numerics numerics, int threads, RankGroup ranks) {
  FT_CHECK(threads >= 0, threads);
  return std::make_unique<cpu::CpuBackend>(numerics, threads, ranks);
}

}  // namespace ft
