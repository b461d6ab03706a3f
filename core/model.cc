#include "core/model.h"

#include <algorithm>
#include <functional>

#include "core/block.h"
#include "core/check.h"

namespace ft {

namespace {

// Recorded steps kept: a server sees one per (rows, logit rows) that it uses.
constexpr size_t kGraphsMax = 512;

// Plans the backend's scratch before anything of the model is allocated.
Backend& reserved(Backend& backend, const ModelConfig& config, int64_t rows) {
  backend.reserve(config, rows);
  return backend;
}

}  // namespace

LogitsHead::LogitsHead(Backend& backend, const ModelConfig& config, const Weight& head, int64_t rows_max)
    : backend_(backend), head_(head), rows_max_(rows_max) {
  const int64_t d = config.hidden_size;
  memory_ = backend.allocate(static_cast<size_t>(rows_max * (2 * d + head.all_rows())) * sizeof(float));
  collapsed_ = Matrix(memory_.f32(), 0, d);
  normed_ = Matrix(collapsed_.data + rows_max * d, 0, d);
  logits_ = Matrix(normed_.data + rows_max * d, 0, head.all_rows());
  host_.resize(static_cast<size_t>(rows_max * head.all_rows()));
}

void LogitsHead::set_rows(int64_t rows) {
  FT_CHECK(rows <= rows_max_, rows, rows_max_);
  collapsed_.rows = normed_.rows = logits_.rows = rows;
}

void LogitsHead::run(Matrix streams, const HeadCollapseWeights& collapse, Vector norm) {
  set_rows(streams.rows);
  backend_.hc_head(streams, collapse, collapsed_);
  backend_.rms_norm(collapsed_, norm, normed_);
  backend_.linear(normed_, head_, logits_, LinearInput::kBF16, LinearOutput::kF32);
  backend_.gather_columns(logits_, vocabulary_axis(logits_.cols).unit);
}

std::span<const float> LogitsHead::fetch() {
  const auto count = static_cast<size_t>(logits_.rows * logits_.cols);
  backend_.download(host_.data(), logits_.data, count * sizeof(float));
  return {host_.data(), count};
}

Model::Model(Backend& backend, const Checkpoint& checkpoint, const CacheLimits& limits)
    : backend_(reserved(backend, checkpoint.config(), limits.rows)),
      config_(checkpoint.config()),
      weights_(checkpoint.weights()),
      cache_(backend, config_, config_.main_ratios(), limits),
      activations_(backend, config_, limits.rows),
      head_(backend, config_, weights_.head, limits.rows) {
  const int64_t rows = limits.rows;
  const int64_t routes = config_.num_hidden_layers * rows * config_.num_experts_per_tok;
  routing_memory_ = backend.allocate(static_cast<size_t>(routes) * sizeof(int32_t));
  host_routing_.resize(static_cast<size_t>(routes));
  if (const int64_t cols = config_.auxiliary_cols(); cols > 0) {
    auxiliary_memory_ = backend.allocate(static_cast<size_t>(rows * cols) * sizeof(float));
    auxiliary_ = Matrix(auxiliary_memory_.f32(), rows, cols);
  }
  const int64_t stream_cols = config_.hc_mult * config_.hidden_size;
  logit_streams_memory_ = backend.allocate(static_cast<size_t>(rows * stream_cols) * sizeof(float));
  logit_streams_ = Matrix(logit_streams_memory_.f32(), rows, stream_cols);
  logit_indices_ = backend.allocate(static_cast<size_t>(2 * rows) * sizeof(int32_t));
  host_indices_.reserve(static_cast<size_t>(2 * rows));
}

void Model::run_layers(const StepPlan& plan, int64_t logit_count, std::span<const RowRange> prompts) {
  LayerScope scope{backend_, config_, activations_, plan};
  scope.route_ids = static_cast<int32_t*>(routing_memory_.data());
  BlockChain blocks(scope);
  backend_.embed(plan.tokens, weights_.embed, config_.hc_mult, activations_.streams);
  const std::vector<int>& auxiliary_layers = config_.dspark.target_layer_ids;
  if (!prompts.empty()) backend_.set_prompt_rows(prompts);
  for (int i = 0; i < config_.num_hidden_layers; ++i) {
    blocks.run(weights_.layers[static_cast<size_t>(i)], cache_.layer(i));
    scope.route_ids += activations_.rows_max() * config_.num_experts_per_tok;
    const auto found = std::find(auxiliary_layers.begin(), auxiliary_layers.end(), i);
    if (found != auxiliary_layers.end()) {
      const int64_t column = (found - auxiliary_layers.begin()) * config_.hidden_size;
      backend_.stream_mean(
          blocks.streams(), config_.hc_mult,
          Matrix(auxiliary_.data + column, plan.rows, config_.hidden_size, auxiliary_.stride));
    }
  }
  if (!prompts.empty()) backend_.set_prompt_rows({});
  const Matrix streams = blocks.streams();
  if (logit_count == 0) return;
  const int32_t* indices = static_cast<const int32_t*>(logit_indices_.data());
  backend_.copy_rows(logit_streams_.data, streams.data,
                     logit_streams_.cols * static_cast<int64_t>(sizeof(float)), indices,
                     indices + logit_count, logit_count);
  logit_streams_.rows = logit_count;
  head_.run(logit_streams_, weights_.head_collapse, weights_.norm);
}

StepGraph& Model::graph_of(int64_t rows, int64_t logit_count) {
  if (graphs_.size() == kGraphsMax) graphs_.clear();
  std::unique_ptr<StepGraph>& graph = graphs_[{rows, logit_count}];
  if (graph == nullptr) graph = backend_.make_graph();
  return *graph;
}

ForwardOutput Model::forward(const StepPlan& plan, std::span<const int32_t> logit_rows,
                             std::span<const RowRange> prompts) {
  activations_.set_rows(plan.rows);
  const auto logit_count = static_cast<int64_t>(logit_rows.size());
  FT_CHECK(logit_count <= plan.rows, logit_count, plan.rows);
  host_indices_.assign(logit_rows.begin(), logit_rows.end());
  for (int32_t i = 0; i < logit_count; ++i) host_indices_.push_back(i);
  if (logit_count > 0)
    backend_.upload(logit_indices_.data(), host_indices_.data(), host_indices_.size() * sizeof(int32_t));
  // Replaying a step does not execute run_layers, so what the host keeps of it is set here.
  head_.set_rows(logit_count);
  if (prompts.empty()) {
    const auto layers = [&] { run_layers(plan, logit_count, {}); };
    graph_of(plan.rows, logit_count).run(std::ref(layers));  // by reference it needs no memory of its own
  } else {
    // Not recorded: which rows are prompts changes from step to step, and long prompts hide what a launch costs.
    run_layers(plan, logit_count, prompts);
  }
  ForwardOutput output;
  if (logit_count > 0) output.logits = head_.fetch();
  output.streams = activations_.streams;
  output.auxiliary = auxiliary_;
  output.auxiliary.rows = auxiliary_.data == nullptr ? 0 : plan.rows;
  output.routing = static_cast<const int32_t*>(routing_memory_.data());
  return output;
}

std::span<const int32_t> Model::fetch_routing(int64_t rows) {
  FT_CHECK(rows >= 0 && rows <= activations_.streams.rows, rows, activations_.streams.rows);
  const int64_t layers = config_.num_hidden_layers;
  const int64_t layer_stride = activations_.rows_max() * config_.num_experts_per_tok;
  const int64_t layer_ids = rows * config_.num_experts_per_tok;
  // One download and its wait cost less than one per layer, although it carries rows that nobody asked for.
  const int64_t reach = (layers - 1) * layer_stride + layer_ids;
  backend_.download(host_routing_.data(), routing_memory_.data(),
                    static_cast<size_t>(reach) * sizeof(int32_t));
  int32_t* packed = host_routing_.data();
  for (int64_t layer = 1; layer < layers; ++layer)
    std::copy_n(packed + layer * layer_stride, layer_ids, packed + layer * layer_ids);
  return {packed, static_cast<size_t>(layers * layer_ids)};
}

}  // namespace ft
