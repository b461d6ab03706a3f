#include "core/cuda/cuda_backend.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/check.h"

namespace ft::cuda {

namespace {

// Scratch of attention and of index scores:
// rows of a call share it, more rows than fit go one group after the other.
constexpr size_t kListScratchBytes = size_t{512} << 20;
// Recorded steps kept; a server sees one per (rows, logit rows) it uses.
constexpr size_t kRecordingsMax = 512;

RotationTable table_of(const Rotations& rotations) {
  return {rotations.data, static_cast<int32_t>(rotations.rope_dim)};
}

EntryView view_of(const CompressedView& view) {
  return {view.page_table, view.page_stride,    view.entries_per_page, view.sequence,
          view.committed,  view.private_offset, view.private_entry};
}

// Address ranges that a matrix may touch.
bool overlap(const Matrix& a, const Matrix& b) {
  if (a.rows == 0 || b.rows == 0) return false;
  const float* a_end = a.row(a.rows - 1) + a.cols;
  const float* b_end = b.row(b.rows - 1) + b.cols;
  return a.data < b_end && b.data < a_end;
}

bool same(const Matrix& a, const Matrix& b) {
  return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.stride == b.stride;
}

const uint8_t* bytes_of(const Weight& weight) {
  return static_cast<const uint8_t*>(weight.data);
}

}  // namespace

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "CUDA device failure: %s: %s (%s)\n", what, cudaGetErrorName(status),
               cudaGetErrorString(status));
  std::abort();
}

CudaBackend::CudaBackend(Numerics numerics, int device, std::string description)
    : Backend(numerics), description_(std::move(description)) {
  check_cuda(cudaSetDevice(device), "cudaSetDevice");
  check_cuda(cudaStreamCreateWithFlags(&queue_.stream, cudaStreamNonBlocking), "cudaStreamCreate");
}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(queue_.stream);
  forget_recordings();
  cudaStreamDestroy(queue_.stream);
}

const void* CudaBackend::place(const void* host, size_t bytes) {
  void* device = weights_.take(bytes);
  if (device == nullptr) return nullptr;
  // On our stream: a plain copy may return before its last bytes have left the driver's own buffer.
  check_cuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, queue_.stream), "placing a weight");
  return device;
}

Buffer CudaBackend::allocate(size_t bytes) {
  void* data = nullptr;
  const size_t size = std::max<size_t>(bytes, 1);
  if (cudaMalloc(&data, size) != cudaSuccess) {
    size_t available = 0;
    size_t total = 0;
    cudaMemGetInfo(&available, &total);
    FT_CHECK(false, "out of device memory: wanted, available, total bytes", bytes, available, total);
  }
  check_cuda(cudaMemsetAsync(data, 0, size, queue_.stream), "cudaMemset");
  return Buffer(data, bytes, [](void* memory) { cudaFree(memory); });
}

void CudaBackend::upload(void* destination, const void* host, size_t bytes) {
  FT_CHECK(!recording_);
  flush();
  staging_.upload(destination, host, bytes, queue_.stream);
}

void CudaBackend::download(void* host, const void* source, size_t bytes) {
  FT_CHECK(!recording_);
  flush();
  staging_.download(host, source, bytes, queue_.stream);
}

void CudaBackend::run(uint64_t shape_key, const std::function<void()>& ops) {
  flush();
  if (recordings_.size() > kRecordingsMax) forget_recordings();
  Recording& recording = recordings_[shape_key];
  if (recording.graph != nullptr) {
    check_cuda(cudaGraphLaunch(recording.graph, queue_.stream), "replaying a step");
    return;
  }
  if (!recording.seen) {
    // Lazily made things (scratch, expert tables) come to be here, outside of a recording. That may drop all
    // recordings, this one too.
    ops();
    flush();
    recordings_[shape_key].seen = true;
    return;
  }
  recording_ = true;
  check_cuda(cudaStreamBeginCapture(queue_.stream, cudaStreamCaptureModeThreadLocal), "recording a step");
  ops();
  flush();
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamEndCapture(queue_.stream, &graph), "recording a step");
  recording_ = false;
  check_cuda(cudaGraphInstantiate(&recording.graph, graph, 0), "recording a step");
  check_cuda(cudaGraphDestroy(graph), "recording a step");
  check_cuda(cudaGraphLaunch(recording.graph, queue_.stream), "replaying a step");
}

void CudaBackend::forget_recordings() {
  FT_CHECK(!recording_);
  if (recordings_.empty()) return;
  check_cuda(cudaStreamSynchronize(queue_.stream), "an op");
  for (auto& [key, recording] : recordings_) {
    if (recording.graph != nullptr) cudaGraphExecDestroy(recording.graph);
  }
  recordings_.clear();
}

void CudaBackend::reserve(const ModelConfig& config, int64_t rows) {
  FT_CHECK(config.hc_mult == kStreams, config.hc_mult);
  flush();
  forget_recordings();
  rms_norm_eps_ = config.rms_norm_eps;
  hc_eps_ = config.hc_eps;
  hc_sinkhorn_iters_ = config.hc_sinkhorn_iters;
  hc_mult_ = config.hc_mult;
  // Inputs of linears as units or quantised, and the experts' activations;
  // lists take what their own limit allows.
  const int64_t d = config.hidden_size;
  const int64_t heads = int64_t{config.num_attention_heads} * config.head_dim;
  const int64_t taps = static_cast<int64_t>(config.dspark.target_layer_ids.size());
  const int64_t widest =
      std::max({int64_t{config.hc_mult} * d, heads, taps * d, int64_t{config.o_groups} * config.o_lora_rank});
  const int64_t element = official() ? 2 : 4;
  const int64_t experts = (config.num_experts_per_tok + 1) * (2 * config.moe_intermediate_size + d) + 2 * d;
  const auto bytes = static_cast<size_t>(rows) * static_cast<size_t>(std::max(widest * 4, experts * element));
  const size_t lists = static_cast<size_t>(rows) * size_t{1} << 20;
  (void)scratch(std::max(bytes, std::min(lists, kListScratchBytes)) + (size_t{1} << 20));
}

void* CudaBackend::scratch(size_t bytes) {
  bool grew = false;
  void* data = scratch_.get(bytes, grew);
  if (grew) {
    FT_CHECK(!recording_, "scratch may not grow inside a recorded step", bytes);
    forget_recordings();
  }
  return data;
}

void CudaBackend::flush() {
  flush_linears();
  flush_post();
}

void CudaBackend::flush_linears() {
  if (linears_.empty()) return;
  linear_few(queue_, linears_.data(), static_cast<int>(linears_.size()));
  linears_.clear();
}

void CudaBackend::flush_post() {
  if (post_.sublayer_out.data == nullptr) return;
  ft::cuda::hc_post(queue_, official(), post_);
  post_ = {};
}

void CudaBackend::copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                            const int32_t* dst, int64_t count) {
  flush();
  ft::cuda::copy_rows(queue_, destination, source, row_bytes, src, dst, count);
}

void CudaBackend::embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) {
  FT_CHECK(streams.cols == stream_count * table.cols, streams.cols, stream_count, table.cols);
  FT_CHECK(table.format == WeightFormat::kBF16 || table.format == WeightFormat::kF32);
  flush();
  ft::cuda::gather_rows(queue_, tokens, table, stream_count, streams);
}

void CudaBackend::gather_rows(const int32_t* ids, const Weight& table, Matrix out) {
  FT_CHECK(out.cols == table.cols, out.cols, table.cols);
  FT_CHECK(table.format == WeightFormat::kBF16 || table.format == WeightFormat::kF32);
  flush();
  ft::cuda::gather_rows(queue_, ids, table, 1, out);
}

void CudaBackend::hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
                         Matrix comb) {
  FT_CHECK(hc_mult_ == kStreams && streams.cols == kStreams * y.cols && y.cols % 4 == 0, hc_mult_,
           streams.cols, y.cols);
  FT_CHECK(post.cols == kStreams && comb.cols == kStreams * kStreams, post.cols, comb.cols);
  FT_CHECK(hc.fn.format == WeightFormat::kF32 && hc.fn.cols == streams.cols &&
           !(norm && norm.size != y.cols));
  flush_linears();
  if (!same(post_.streams, streams)) flush_post();
  const HyperConnection connection = {static_cast<const float*>(hc.fn.data),
                                      hc.base.data,
                                      hc.scale.data,
                                      norm.data,
                                      hc_sinkhorn_iters_,
                                      hc_eps_,
                                      rms_norm_eps_};
  ft::cuda::hc_pre(queue_, official(), streams, post_, connection, y, post, comb);
  post_ = {};
}

void CudaBackend::hc_post(Matrix streams, Matrix sublayer_out, Matrix post, Matrix comb) {
  FT_CHECK(hc_mult_ == kStreams && streams.cols == kStreams * sublayer_out.cols, streams.cols,
           sublayer_out.cols);
  FT_CHECK(post.cols == kStreams && comb.cols == kStreams * kStreams, post.cols, comb.cols);
  flush();
  post_ = {streams, sublayer_out, post, comb};
}

void CudaBackend::hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) {
  FT_CHECK(hc_mult_ == kStreams && streams.cols == kStreams * y.cols && y.cols % 4 == 0, hc_mult_,
           streams.cols, y.cols);
  FT_CHECK(head.fn.format == WeightFormat::kF32 && head.fn.cols == streams.cols && head.fn.rows == kStreams);
  flush_linears();
  if (!same(post_.streams, streams)) flush_post();
  const HyperConnection connection = {static_cast<const float*>(head.fn.data),
                                      head.base.data,
                                      head.scale.data,
                                      nullptr,
                                      0,
                                      hc_eps_,
                                      rms_norm_eps_};
  ft::cuda::hc_head(queue_, official(), streams, post_, connection, y);
  post_ = {};
}

void CudaBackend::stream_mean(Matrix streams, int stream_count, Matrix out) {
  FT_CHECK(streams.cols == stream_count * out.cols && out.rows == streams.rows, streams.cols, out.cols,
           out.rows);
  flush();
  ft::cuda::stream_mean(queue_, official(), streams, stream_count, out);
}

void CudaBackend::combine_streams(Matrix e, Matrix h, Matrix streams) {
  FT_CHECK(h.cols == streams.cols && streams.cols % e.cols == 0, e.cols, h.cols, streams.cols);
  flush();
  ft::cuda::combine_streams(queue_, official(), e, h, streams);
}

void CudaBackend::rms_norm(Matrix x, Vector weight, Matrix y) {
  FT_CHECK(x.cols == weight.size && y.cols == x.cols && y.rows == x.rows, x.cols, weight.size, y.cols);
  flush();
  ft::cuda::rms_norm(queue_, official(), x, weight.data, rms_norm_eps_, y);
}

void CudaBackend::run_linear(const LinearTask& task) {
  if (official() && tensor_core_shape(task)) {
    linear_many(queue_, task, scratch(static_cast<size_t>(task.x.rows * task.x.cols) * 2));
  } else {
    const size_t bytes = task.quantize ? static_cast<size_t>(task.x.rows * task.x.cols) * sizeof(float) : 0;
    linear_exact(queue_, task, static_cast<float*>(scratch(bytes)));
  }
}

void CudaBackend::linear(Matrix x, const Weight& weight, Matrix y, LinearInput input, LinearOutput output,
                         int groups) {
  FT_CHECK(x.cols == groups * weight.cols && y.cols == weight.rows && y.rows == x.rows, x.cols, groups,
           weight.cols, y.cols, weight.rows);
  FT_CHECK(weight.rows % groups == 0, weight.rows, groups);
  if (x.rows == 0) return;
  const bool scaled = weight.format == WeightFormat::kFp8Block || weight.format == WeightFormat::kFp4Row;
  const LinearTask task = {x,
                           weight,
                           y,
                           official() && scaled && input == LinearInput::kQ8,
                           official() && output == LinearOutput::kBF16,
                           groups};
  flush_post();
  const auto conflicts = [&](const LinearTask& earlier) {
    return overlap(earlier.y, x) || overlap(earlier.y, y) || overlap(earlier.x, y) ||
           earlier.x.rows != x.rows;
  };
  if (std::any_of(linears_.begin(), linears_.end(), conflicts) || linears_.size() == kLinearTasks)
    flush_linears();
  if (official() && tensor_core_shape(task) && few_rows(task)) {
    linears_.push_back(task);
  } else {
    flush_linears();
    run_linear(task);
  }
}

void CudaBackend::query_norm_rope(Matrix q, int64_t head_dim, Rotations rotations) {
  FT_CHECK(q.cols % head_dim == 0 && rotations.rope_dim <= head_dim, q.cols, head_dim, rotations.rope_dim);
  FT_CHECK(head_dim % 2 == 0 && q.stride % 2 == 0, head_dim, q.stride);
  flush();
  ft::cuda::query_norm_rope(queue_, official(), q, head_dim, rms_norm_eps_, table_of(rotations));
}

void CudaBackend::store_kv(Matrix x, Vector norm, Rotations rotations, float* raw, const int32_t* dst) {
  FT_CHECK(x.cols == norm.size && rotations.rope_dim <= x.cols, x.cols, norm.size, rotations.rope_dim);
  flush();
  ft::cuda::store_kv(queue_, official(), x, norm.data, rms_norm_eps_, table_of(rotations), raw, dst);
}

void CudaBackend::attend(const AttentionArgs& args) {
  FT_CHECK(args.q.cols == args.head_count * args.head_dim && args.out.cols == args.q.cols &&
               args.sink.size == args.head_count,
           args.q.cols, args.out.cols, args.head_count, args.head_dim, args.sink.size);
  FT_CHECK(args.head_dim % 2 == 0 && args.out.stride % 2 == 0, args.head_dim, args.out.stride);
  FT_CHECK(args.selected == nullptr || args.all_visible == nullptr);
  flush();
  AttendArgs call;
  call.q = args.q;
  call.out = args.out;
  call.raw = args.raw;
  call.window = args.window;
  call.window_width = args.window_width;
  call.compressed = args.compressed;
  call.selected = args.selected;
  call.selected_width = args.selected != nullptr ? args.selected_width : 0;
  call.has_view = args.all_visible != nullptr;
  if (call.has_view) {
    call.view = view_of(*args.all_visible);
    call.visible_max = args.all_visible->visible_max;
  }
  call.sink = args.sink.data;
  call.heads = args.head_count;
  call.head_dim = static_cast<int32_t>(args.head_dim);
  call.inverse = table_of(args.inverse);
  const size_t row_bytes = attend_scratch_bytes(call);
  const int64_t group = std::clamp<int64_t>(static_cast<int64_t>(kListScratchBytes / row_bytes), 1,
                                            std::max<int64_t>(args.q.rows, 1));
  call.scratch = static_cast<float*>(scratch(row_bytes * static_cast<size_t>(group)));
  for (int64_t first = 0; first < args.q.rows; first += group) {
    ft::cuda::attend(queue_, official(), call, static_cast<int32_t>(first),
                     static_cast<int32_t>(std::min(group, args.q.rows - first)));
  }
}

void CudaBackend::store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions, int ratio,
                                        float* state, const int32_t* dst) {
  FT_CHECK(g.cols == k.cols && ape.size == ratio * k.cols, k.cols, g.cols, ape.size, ratio);
  flush();
  ft::cuda::store_compressor_rows(queue_, k, g, ape.data, positions, ratio, state, dst);
}

void CudaBackend::compress(const float* state, const int32_t* sources, int64_t count, int ratio,
                           int64_t head_dim, Vector norm, Rotations rotations, bool is_index_key, float* out,
                           const int32_t* dst) {
  FT_CHECK(norm.size == head_dim && rotations.rope_dim <= head_dim, norm.size, head_dim, rotations.rope_dim);
  FT_CHECK(!is_index_key || (head_dim & (head_dim - 1)) == 0, head_dim);
  flush();
  ft::cuda::compress(queue_, official(), state, sources, count, ratio, head_dim, norm.data, rms_norm_eps_,
                     table_of(rotations), is_index_key, out, dst);
}

void CudaBackend::index_query(Matrix q, int64_t head_dim, Rotations rotations) {
  FT_CHECK(q.cols % head_dim == 0 && rotations.rope_dim <= head_dim, q.cols, head_dim, rotations.rope_dim);
  FT_CHECK((head_dim & (head_dim - 1)) == 0, head_dim);
  flush();
  ft::cuda::index_query(queue_, official(), q, head_dim, table_of(rotations));
}

void CudaBackend::index_select(Matrix q, Matrix weights, float weight_scale, const float* keys,
                               int64_t head_dim, const CompressedView& view, int top_k, int32_t* selected,
                               Matrix* scores) {
  FT_CHECK(q.cols == weights.cols * head_dim && weights.rows == q.rows, q.cols, weights.cols, head_dim);
  FT_CHECK(scores == nullptr || scores->cols >= view.visible_max, view.visible_max);
  flush();
  IndexSelectArgs args;
  args.q = q;
  args.weights = weights;
  args.weight_scale = weight_scale;
  args.keys = keys;
  args.head_dim = static_cast<int32_t>(head_dim);
  args.view = view_of(view);
  args.visible_max = view.visible_max;
  args.top_k = top_k;
  args.selected = selected;
  args.always_score = scores != nullptr;
  if (scores != nullptr) {
    args.rows = static_cast<int32_t>(q.rows);
    args.scores = scores->data;
    args.score_stride = scores->stride;
    ft::cuda::index_select(queue_, official(), args);
    return;
  }
  const int64_t stride = view.visible_max > top_k ? view.visible_max : 0;
  const int64_t fits = stride > 0 ? static_cast<int64_t>(kListScratchBytes / sizeof(float)) / stride : q.rows;
  const int64_t group = std::clamp<int64_t>(fits, 1, std::max<int64_t>(q.rows, 1));
  args.scores = static_cast<float*>(scratch(static_cast<size_t>(group * stride) * sizeof(float)));
  args.score_stride = stride;
  for (int64_t first = 0; first < q.rows; first += group) {
    args.first_row = static_cast<int32_t>(first);
    args.rows = static_cast<int32_t>(std::min(group, q.rows - first));
    ft::cuda::index_select(queue_, official(), args);
  }
}

void CudaBackend::route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                        int32_t* ids, float* weights) {
  const int64_t experts = moe.gate.rows;
  FT_CHECK(x.cols == moe.gate.cols && k <= experts && k <= 32 && experts <= 4096, x.cols, moe.gate.cols, k,
           experts);
  FT_CHECK(moe.tid2eid != nullptr || moe.bias.size == experts, moe.bias.size, experts);
  if (x.rows == 0) return;
  flush();
  // Behind the logits comes what run_linear may use.
  const size_t logits_bytes = (static_cast<size_t>(x.rows * experts) * sizeof(float) + 255) / 256 * 256;
  const size_t input_bytes = static_cast<size_t>(x.rows * x.cols) * sizeof(float);
  uint8_t* memory = static_cast<uint8_t*>(scratch(logits_bytes + input_bytes));
  const Matrix logits(reinterpret_cast<float*>(memory), x.rows, experts);
  const LinearTask task = {x, moe.gate, logits, false, false, 1};
  if (!official() || !tensor_core_shape(task)) {
    linear_exact(queue_, task, nullptr);
  } else if (few_rows(task)) {
    linear_few(queue_, &task, 1);
  } else {
    linear_many(queue_, task, memory + logits_bytes);
  }
  route_select(queue_, logits.data, x.rows, static_cast<int>(experts),
               moe.tid2eid == nullptr ? moe.bias.data : nullptr, moe.tid2eid, tokens, k, route_scale, ids,
               weights);
}

const ExpertTable& CudaBackend::expert_table(const MoeWeights& moe) {
  const ExpertWeights& first = moe.experts.front();
  std::vector<ExpertTable::Expert> experts;
  experts.reserve(moe.experts.size() + 1);
  const auto add = [&](const ExpertWeights& e, const ExpertWeights& like) {
    FT_CHECK(e.w1.format == like.w1.format && e.w2.format == like.w1.format && e.w3.format == like.w1.format);
    FT_CHECK(e.w1.rows == first.w1.rows && e.w1.cols == first.w1.cols && e.w2.rows == first.w2.rows);
    experts.push_back(
        {{bytes_of(e.w1), bytes_of(e.w3), bytes_of(e.w2)}, {e.w1.scale, e.w3.scale, e.w2.scale}});
  };
  for (const ExpertWeights& expert : moe.experts) add(expert, first);
  add(moe.shared, moe.shared);
  PlacedExperts& placed = expert_tables_[first.w1.data];
  if (placed.experts == experts) return placed.table;
  FT_CHECK(!recording_);
  const void* device = place(experts.data(), experts.size() * sizeof(experts[0]));
  FT_CHECK(device != nullptr, "out of device memory for a table of experts");
  placed.table.experts = static_cast<const ExpertTable::Expert*>(device);
  placed.table.count = static_cast<int32_t>(moe.experts.size());
  placed.table.routed_format = first.w1.format;
  placed.table.shared_format = moe.shared.w1.format;
  placed.table.width = static_cast<int32_t>(first.w1.cols);
  placed.table.inner = static_cast<int32_t>(first.w1.rows);
  placed.experts = std::move(experts);
  return placed.table;
}

void CudaBackend::moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
                      float swiglu_limit, Matrix y) {
  FT_CHECK(y.rows == x.rows && y.cols == x.cols && k <= 32, y.rows, x.rows, y.cols, x.cols, k);
  if (x.rows == 0) return;
  flush();
  const ExpertTable& table = expert_table(moe);
  FT_CHECK(table.width == x.cols, table.width, x.cols);
  void* memory = scratch(moe_scratch_bytes(table, x.rows, k, official()));
  ft::cuda::moe(queue_, official(), x, table, ids, weights, k, swiglu_limit, memory, y);
}

}  // namespace ft::cuda

namespace ft {

Result<std::unique_ptr<Backend>> make_cuda_backend(Numerics numerics) {
  const auto unavailable = [](const char* what, cudaError_t status) {
    return fail(ErrorCode::kUnavailable, "{}: {}", what, cudaGetErrorString(status));
  };
  int count = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return unavailable("no CUDA device can be used", status);
  if (count == 0) return fail(ErrorCode::kUnavailable, "the CUDA driver reports no device");
  cudaDeviceProp properties = {};
  status = cudaGetDeviceProperties(&properties, 0);
  if (status != cudaSuccess) return unavailable("the properties of CUDA device 0 cannot be read", status);
  // This build holds machine code for 9.0 and 10.0 alone.
  const bool known = properties.minor == 0 && (properties.major == 9 || properties.major == 10);
  if (!known) {
    return fail(ErrorCode::kUnavailable,
                "{} has compute capability {}.{}; this build has code for 9.0 and 10.0", properties.name,
                properties.major, properties.minor);
  }
  status = cudaFree(nullptr);  // makes the context, which may fail where the device is taken
  if (status != cudaSuccess) return unavailable("CUDA device 0 cannot be opened", status);
  auto description =
      fmt::format("{}, compute capability {}.{}, {:.1f} GiB, {} multiprocessors", properties.name,
                  properties.major, properties.minor,
                  static_cast<double>(properties.totalGlobalMem) / (1 << 30), properties.multiProcessorCount);
  return std::make_unique<cuda::CudaBackend>(numerics, 0, std::move(description));
}

}  // namespace ft
