#include "tests/gpu/host/fake_runtime.h"

#include <cuda_runtime_api.h>
#include <cxxabi.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

namespace ft::test {
namespace {

// The limits of compute capability 9.0.
constexpr size_t kSharedMax = 227 * 1024;
constexpr size_t kSharedUnasked = 48 * 1024;
constexpr size_t kMemory = size_t{64} << 30;

struct State {
  std::mutex mutex;
  std::map<const void*, std::string> kernels;
  std::map<const void*, size_t> shared_allowed;
  std::vector<std::string> refused;
  int64_t allocations = 0;
};

State& state() {
  static State instance;
  return instance;
}

thread_local std::vector<Launch> launches;
thread_local bool capturing = false;
using Recording = std::vector<std::function<void()>>;
thread_local Recording captured;

std::string plain_name(const char* mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string name = status == 0 ? text : mangled;
  std::free(text);
  if (const size_t end = name.rfind(")("); end != std::string::npos) name.resize(end + 1);
  for (const char* stop : {"<", "("}) {  // what follows "(anonymous namespace)::"
    const size_t scope = name.find("namespace)::");
    const size_t from = scope == std::string::npos ? 0 : scope + 12;
    if (const size_t end = name.find(stop, from); end != std::string::npos) name.resize(end);
  }
  return name.substr(name.rfind(':') + 1);
}

void refuse(const Launch& launch, const std::string& why) {
  state().refused.push_back(launch.kernel + ": " + why);
}

void note(const cudaLaunchConfig_t& config, const void* function) {
  const std::lock_guard lock(state().mutex);
  Launch launch;
  launch.kernel = state().kernels[function];
  launch.grid[0] = config.gridDim.x;
  launch.grid[1] = config.gridDim.y;
  launch.grid[2] = config.gridDim.z;
  launch.threads = config.blockDim.x * config.blockDim.y * config.blockDim.z;
  launch.shared_bytes = config.dynamicSmemBytes;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    if (config.attrs[i].id == cudaLaunchAttributeClusterDimension)
      launch.cluster = config.attrs[i].val.clusterDim.x;
  }
  if (launch.kernel.empty()) refuse(launch, "an unknown function");
  if (launch.grid[0] == 0 || launch.grid[1] == 0 || launch.grid[2] == 0 || launch.grid[1] > 65535 ||
      launch.grid[2] > 65535)
    refuse(launch, "the grid");
  if (launch.threads == 0 || launch.threads > 1024) refuse(launch, "the block");
  if (launch.shared_bytes > kSharedUnasked && launch.shared_bytes > state().shared_allowed[function])
    refuse(launch, "more shared memory than was asked for");
  if (launch.cluster > 8 || launch.grid[0] % launch.cluster != 0) refuse(launch, "the cluster");
  launches.push_back(std::move(launch));
}

}  // namespace

std::vector<Launch> take_launches() {
  return std::exchange(launches, {});
}

std::vector<std::string> refused() {
  const std::lock_guard lock(state().mutex);
  return state().refused;
}

bool recording() {
  return capturing;
}

void record(std::function<void()> work) {
  captured.push_back(std::move(work));
}

int64_t allocations() {
  const std::lock_guard lock(state().mutex);
  return state().allocations;
}

}  // namespace ft::test

using namespace ft::test;

extern "C" {

// --- what nvcc's code calls when the program starts ---
void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* device, int, uint3*, uint3*, dim3*,
                            dim3*, int*) {
  state().kernels[host] = plain_name(device);
}
unsigned __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) {
  std::abort();  // of <<< >>>, which core/cuda does not use
}
cudaError_t __cudaGetKernel(cudaKernel_t*, const void*) {
  std::abort();
}
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, size_t, cudaStream_t) {
  std::abort();
}

// --- devices ---
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "no device");
  properties->major = 9;
  properties->totalGlobalMem = kMemory;
  properties->uuid.bytes[0] = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t) {
  return "an error of the stand-in";
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorStreamCaptureUnsupported ? "not while recording" : "an error of the stand-in";
}
cudaError_t cudaGetLastError() {
  return cudaSuccess;
}

// --- memory ---
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  if (capturing) return cudaErrorStreamCaptureUnsupported;
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  const std::lock_guard lock(state().mutex);
  ++state().allocations;
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return cudaMalloc(memory, bytes);
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  return cudaMalloc(memory, bytes);
}
cudaError_t cudaFreeHost(void* memory) {
  return cudaFree(memory);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = kMemory;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  if (!capturing) return cudaMemset(memory, value, bytes);
  record([=] { (void)cudaMemset(memory, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t*, void*) {
  return cudaErrorNotSupported;
}
cudaError_t cudaIpcOpenMemHandle(void**, cudaIpcMemHandle_t, unsigned) {
  return cudaErrorNotSupported;
}
cudaError_t cudaIpcCloseMemHandle(void*) {
  return cudaErrorNotSupported;
}

// --- streams, events, kernels ---
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaDeviceSynchronize();
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned) {
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || static_cast<size_t>(value) > kSharedMax)
    return cudaErrorInvalidValue;
  const std::lock_guard lock(state().mutex);
  state().shared_allowed[function] = static_cast<size_t>(value);
  return cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void**) {
  note(*config, function);
  return cudaSuccess;
}

// --- recordings ---
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  capturing = true;
  captured.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  capturing = false;
  *graph = reinterpret_cast<cudaGraph_t>(new Recording(std::exchange(captured, {})));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = reinterpret_cast<cudaGraphExec_t>(new Recording(*reinterpret_cast<Recording*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Recording*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete reinterpret_cast<Recording*>(exec);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  for (const std::function<void()>& work : *reinterpret_cast<Recording*>(exec)) work();
  return cudaSuccess;
}

}  // extern "C"
