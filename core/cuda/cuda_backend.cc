#include "core/cuda/cuda_backend.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/check.h"
#include "core/ranks/own_part.h"

namespace ft::cuda {

namespace {

RotationTable table_of(const Rotations& rotations) {
  return {rotations.data, static_cast<int32_t>(rotations.rope_dim)};
}

EntryView view_of(const CompressedView& view) {
  return {view.page_table, view.page_stride,    view.entries_per_page, view.sequence,
          view.committed,  view.private_offset, view.private_entry};
}

}  // namespace

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "CUDA device failure: %s: %s (%s)\n", what, cudaGetErrorName(status),
               cudaGetErrorString(status));
  std::abort();
}

CudaBackend::CudaBackend(Numerics numerics, int device, std::string description, RankGroup ranks,
                         std::unique_ptr<Exchange> exchange, std::unique_ptr<GemmLibrary> gemms)
    : Backend(numerics, ranks), description_(std::move(description)), exchange_(std::move(exchange)) {
  if (gemms != nullptr) {
    FT_CHECK(official());
    prompt_linears_.emplace(std::move(gemms));
    description_ += fmt::format(", long prompts by {}", prompt_linears_->name());
  }
  use_device(queue_.device = device);
  check_cuda(cudaStreamCreateWithFlags(&queue_.stream, cudaStreamNonBlocking), "cudaStreamCreate");
  constexpr size_t kLogits = static_cast<size_t>(kFewRows * kExpertsMax);
  joint_memory_ = allocate(kTickets * sizeof(int32_t) + kLogits * sizeof(float));
}

CudaBackend::~CudaBackend() {
  use_device(queue_.device);
  joint_memory_ = Buffer();  // whose release needs the queue
  cudaStreamSynchronize(queue_.stream);
  cudaStreamDestroy(queue_.stream);
}

const void* CudaBackend::place(const void* host, size_t bytes) {
  use_device(queue_.device);
  void* device = weights_.take(bytes);
  if (device == nullptr) return nullptr;
  // On our stream: a plain copy may return before its last bytes have left the driver's own buffer.
  check_cuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, queue().stream),
             "placing a weight");
  return device;
}

MemoryLimit CudaBackend::memory_limit() const {
  use_device(queue_.device);
  size_t free = 0;
  size_t total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {static_cast<int64_t>(free), "what is free on the device"};
}

Buffer CudaBackend::allocate(size_t bytes) {
  use_device(queue_.device);
  void* data = nullptr;
  const size_t size = std::max<size_t>(bytes, 1);
  if (cudaMalloc(&data, size) != cudaSuccess) {
    size_t available = 0;
    size_t total = 0;
    cudaMemGetInfo(&available, &total);
    FT_CHECK(false, "out of device memory: wanted, available, total bytes", bytes, available, total);
  }
  check_cuda(cudaMemsetAsync(data, 0, size, queue().stream), "cudaMemset");
  return Buffer(data, bytes, [this](void* memory) {
    close();  // what is open may use it
    cudaFree(memory);
  });
}

void CudaBackend::upload(void* destination, const void* host, size_t bytes) {
  FT_CHECK(!recording_);
  use_device(queue_.device);
  staging_.upload(destination, host, bytes, queue().stream);
}

void CudaBackend::download(void* host, const void* source, size_t bytes) {
  FT_CHECK(!recording_);
  use_device(queue_.device);
  staging_.download(host, source, bytes, queue().stream);
  if (exchange_ != nullptr) exchange_->check();
}

// A step of one shape, recorded on its second run.
class CudaBackend::Graph final : public StepGraph {
 public:
  explicit Graph(CudaBackend& backend) : backend_(backend) {}
  ~Graph() override { forget(); }

  void run(const std::function<void()>& ops) override {
    const cudaStream_t stream = backend_.queue().stream;
    use_device(backend_.queue_.device);
    if (addresses_ != backend_.addresses_) forget();
    if (exec_ == nullptr && !seen_) {
      // Lazily made things (scratch, expert tables) come to be here, outside of a recording.
      ops();
      backend_.close();
      seen_ = true;
      addresses_ = backend_.addresses_;
      return;
    }
    if (exec_ == nullptr) record(ops);
    check_cuda(cudaGraphLaunch(exec_, stream), "replaying a step");
  }

 private:
  void record(const std::function<void()>& ops) {
    const cudaStream_t stream = backend_.queue_.stream;
    backend_.recording_ = true;
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a step");
    ops();
    backend_.close();
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamEndCapture(stream, &graph), "recording a step");
    backend_.recording_ = false;
    check_cuda(cudaGraphInstantiate(&exec_, graph, 0), "recording a step");
    check_cuda(cudaGraphDestroy(graph), "recording a step");
  }

  void forget() {
    seen_ = false;
    if (exec_ == nullptr) return;
    check_cuda(cudaStreamSynchronize(backend_.queue_.stream), "an op");  // it may still run
    check_cuda(cudaGraphExecDestroy(exec_), "forgetting a step");
    exec_ = nullptr;
  }

  CudaBackend& backend_;
  bool seen_ = false;
  uint64_t addresses_ = 0;  // of the backend when it was seen
  cudaGraphExec_t exec_ = nullptr;
};

std::unique_ptr<StepGraph> CudaBackend::make_graph() {
  if (exchange_ != nullptr && !exchange_->recordable()) return std::make_unique<StepGraph>();
  return std::make_unique<Graph>(*this);
}

void CudaBackend::do_reserve(const ModelConfig& config, int64_t rows) {
  FT_CHECK(config.hc_mult == kStreams, config.hc_mult);
  FT_CHECK(!recording_);
  ++addresses_;
  // Inputs of linears as units or quantised, and the experts' activations;
  // lists take what their own limit allows.
  const int64_t d = config.hidden_size;
  const int64_t heads = int64_t{config.num_attention_heads} * config.head_dim;
  const int64_t widest = std::max({int64_t{config.hc_mult} * d, heads, config.auxiliary_cols(),
                                   int64_t{config.o_groups} * config.o_lora_rank});
  const int64_t element = official() ? 2 : 4;
  const int64_t expert_rows = config.num_experts_per_tok + 1;
  const int64_t shards = own_shards(ranks()).count;
  const auto bytes = static_cast<size_t>(rows * widest * 4);
  const auto experts = static_cast<size_t>(
      rows * (expert_rows * (2 * config.moe_intermediate_size * element + shards * d * 4) + 2 * d * element));
  const size_t lists = static_cast<size_t>(rows) * size_t{1} << 20;
  const size_t sums = rank_sum_bytes(Matrix(nullptr, rows, d));
  const int64_t outputs = std::max(widest, int64_t{config.index_n_heads} * config.index_head_dim);
  const size_t prompts = prompt_linears_.has_value() ? PromptLinears::most_bytes(rows, widest, outputs) : 0;
  (void)scratch(std::max({bytes, prompts, std::min(std::max(lists, experts), kListScratchBytes)}) + sums +
                (size_t{1} << 20));
}

void CudaBackend::close() {
  open_.launch(queue_, rms_norm_eps_, tickets());
  if (router_.has_value()) {
    const Router router = *std::exchange(router_, std::nullopt);
    linear_few(queue_, &router.gate, 1);
    route_select(queue_, router.route, router.gate.x.rows);
  }
}

void* CudaBackend::scratch(size_t bytes) {
  use_device(queue_.device);
  bool grew = false;
  void* data = scratch_.get(bytes, grew);
  if (grew) {
    FT_CHECK(!recording_, "scratch may not grow inside a recorded step", bytes);
    ++addresses_;
  }
  return data;
}

void CudaBackend::copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                            const int32_t* dst, int64_t count) {
  ft::cuda::copy_rows(queue(), destination, source, row_bytes, src, dst, count);
}

void CudaBackend::do_embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) {
  ft::cuda::gather_rows(queue(), tokens, table, stream_count, streams);
}

void CudaBackend::do_gather_rows(const int32_t* ids, const Weight& table, Matrix out) {
  ft::cuda::gather_rows(queue(), ids, table, 1, out);
}

void CudaBackend::do_hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y,
                            Matrix post, Matrix comb) {
  do_hc_post_pre(streams, {}, hc, norm, y, post, comb);
}

void CudaBackend::do_hc_post(Matrix streams, const SublayerOutput& before) {
  ft::cuda::hc_post(queue(), official(), streams, {before.output, before.post, before.comb});
}

void CudaBackend::do_hc_post_pre(Matrix streams, const SublayerOutput& before,
                                 const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
                                 Matrix comb) {
  FT_CHECK(y.cols % 4 == 0, y.cols);
  const HyperConnection connection = {static_cast<const float*>(hc.fn.data),
                                      hc.base.data,
                                      hc.scale.data,
                                      norm.data,
                                      hc_sinkhorn_iters_,
                                      hc_eps_,
                                      rms_norm_eps_};
  ft::cuda::hc_pre(queue(), official(), streams, {before.output, before.post, before.comb}, connection, y,
                   post, comb);
}

void CudaBackend::do_hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) {
  FT_CHECK(y.cols % 4 == 0, y.cols);
  const HyperConnection connection = {static_cast<const float*>(head.fn.data),
                                      head.base.data,
                                      head.scale.data,
                                      nullptr,
                                      0,
                                      hc_eps_,
                                      rms_norm_eps_};
  ft::cuda::hc_head(queue(), official(), streams, connection, y);
}

void CudaBackend::do_stream_mean(Matrix streams, int stream_count, Matrix out) {
  ft::cuda::stream_mean(queue(), official(), streams, stream_count, out);
}

void CudaBackend::do_combine_streams(Matrix e, Matrix h, Matrix streams) {
  ft::cuda::combine_streams(queue(), official(), e, h, streams);
}

void CudaBackend::do_rms_norm(Matrix x, Vector weight, Matrix y) {
  if (official()) {
    close();
    if (open_.add_norm(x, weight.data, y)) return;
  }
  ft::cuda::rms_norm(queue(), official(), x, weight.data, rms_norm_eps_, y);
}

void CudaBackend::do_attend(const AttentionArgs& whole) {
  FT_CHECK(whole.head_dim % 2 == 0 && whole.out.stride % 2 == 0, whole.head_dim, whole.out.stride);
  const AttentionArgs args = own_part(whole, ranks());
  if (args.head_count == 0) return;
  AttendArgs call;
  call.q = args.q;
  call.out = args.out;
  call.raw = args.raw.f32();
  call.window = args.window;
  call.window_width = args.window_width;
  call.compressed = args.compressed.f32();
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
    ft::cuda::attend(queue(), official(), call, static_cast<int32_t>(first),
                     static_cast<int32_t>(std::min(group, args.q.rows - first)));
  }
}

void CudaBackend::do_index_select(Matrix q, Matrix weights, float weight_scale, KeyRows keys,
                                  int64_t head_dim, const CompressedView& view, int top_k, int32_t* selected,
                                  Matrix* scores) {
  IndexSelectArgs args;
  args.q = q;
  args.weights = weights;
  args.weight_scale = weight_scale;
  args.keys = keys.f32();
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
    ft::cuda::index_select(queue(), official(), args);
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
    ft::cuda::index_select(queue(), official(), args);
  }
}

}  // namespace ft::cuda

namespace ft {

namespace {

// Whether this build has code for the device; does not open it.
Result<void> known(int device, cudaDeviceProp& properties) {
  const cudaError_t status = cudaGetDeviceProperties(&properties, device);
  if (status != cudaSuccess)
    return fail(ErrorCode::kUnavailable, "CUDA device {} does not say what it is: {}", device,
                cudaGetErrorString(status));
  if (properties.minor == 0 && (properties.major == 9 || properties.major == 10)) return {};
  return fail(ErrorCode::kUnavailable,
              "{} has compute capability {}.{}; this build has code for 9.0 and 10.0", properties.name,
              properties.major, properties.minor);
}

Result<void> usable(int device, cudaDeviceProp& properties) {
  if (auto fine = known(device, properties); !fine) return fine;
  cudaError_t status = cudaSetDevice(device);
  if (status == cudaSuccess)
    status = cudaFree(nullptr);  // makes the context; fails where the device is taken
  if (status != cudaSuccess)
    return fail(ErrorCode::kUnavailable, "CUDA device {} cannot be opened: {}", device,
                cudaGetErrorString(status));
  return {};
}

std::string describe(const cudaDeviceProp& properties) {
  return fmt::format("{}, compute capability {}.{}, {:.1f} GiB, {} multiprocessors", properties.name,
                     properties.major, properties.minor,
                     static_cast<double>(properties.totalGlobalMem) / (1 << 30),
                     properties.multiProcessorCount);
}

// The reason on every rank where one of them cannot go on: the others would wait for it.
Result<void> all_usable(Comm& comm, const Result<void>& own) {
  std::vector<int32_t> fine(static_cast<size_t>(comm.size()));
  int32_t& mine = fine[static_cast<size_t>(comm.rank())];
  mine = own ? 1 : 0;
  comm.all_gather(&mine, fine.data(), sizeof(int32_t));
  if (!own) return own;
  for (size_t rank = 0; rank < fine.size(); ++rank) {
    if (fine[rank] == 0) return fail(ErrorCode::kUnavailable, "rank {} cannot use its CUDA device", rank);
  }
  return {};
}

}  // namespace

Result<void> cuda_usable(const RankGroup& ranks) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess)
    return fail(ErrorCode::kUnavailable, "no CUDA device can be used: {}", cudaGetErrorString(status));
  if (count == 0) return fail(ErrorCode::kUnavailable, "the CUDA driver reports no device");
  cudaDeviceProp properties = {};
  return ranks.size == 1 ? usable(0, properties) : known(0, properties);
}

Result<std::string> cublaslt_usable() {
  const auto name = cuda::cublaslt_name();
  if (!name) return name;
  cudaDeviceProp properties = {};
  if (auto fine = known(0, properties); !fine) return tl::make_unexpected(fine.error());
  return fmt::format("{} on {}", *name, properties.name);
}

Result<std::unique_ptr<Backend>> make_cuda_backend(Numerics numerics, RankGroup ranks, PrefillGemm prefill) {
  std::unique_ptr<cuda::GemmLibrary> gemms;
  const auto load_gemms = [&]() -> Result<void> {
    if (prefill == PrefillGemm::kInvariant) return {};
    auto loaded = cuda::load_cublaslt();
    if (!loaded) return tl::make_unexpected(loaded.error());
    gemms = std::move(*loaded);
    return {};
  };
  cudaDeviceProp properties = {};
  if (ranks.size == 1) {
    if (auto fine = cuda_usable(ranks); !fine) return tl::make_unexpected(fine.error());
    if (auto fine = known(0, properties); !fine) return tl::make_unexpected(fine.error());
    if (auto fine = load_gemms(); !fine) return tl::make_unexpected(fine.error());
    return std::make_unique<cuda::CudaBackend>(numerics, 0, describe(properties), ranks, nullptr,
                                               std::move(gemms));
  }
  const auto places = cuda::find_places(*ranks.comm);
  if (!places) return tl::make_unexpected(places.error());
  if (auto fine = all_usable(*ranks.comm, usable(places->device, properties)); !fine)
    return tl::make_unexpected(fine.error());
  auto exchange = cuda::make_exchange(*ranks.comm, *places);
  if (auto fine = load_gemms(); !fine) return tl::make_unexpected(fine.error());
  auto description = fmt::format("{}, device {} of rank {} of {}, which exchange {}", describe(properties),
                                 places->device, ranks.rank, ranks.size, exchange->name());
  return std::make_unique<cuda::CudaBackend>(numerics, places->device, std::move(description), ranks,
                                             std::move(exchange), std::move(gemms));
}

}  // namespace ft
