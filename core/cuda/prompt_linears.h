// Linears of long prompts through a matrix library (--prefill-gemm cublaslt; docs/cuda.md, "Long prompts").
//
// Two ways. Block-scaled: an fp8 weight as it is stored times e4m3 codes of the input, where the library takes that
// (cuBLASLt: compute capability 9.0). Widened: both sides as bf16, which holds every fp8 weight with its scale and
// every quantised input exactly; a large fp8 weight is widened part by part.
#pragma once

#include <memory>
#include <string>

#include "core/cuda/gemm_library.h"
#include "core/cuda/kernels.h"

namespace ft::cuda {

class PromptLinears {
 public:
  enum class Way : uint8_t { kNone, kBlockScaled, kWidened };

  explicit PromptLinears(std::unique_ptr<GemmLibrary> library) : library_(std::move(library)) {}

  std::string name() const { return library_->name(); }
  // How run() computes this task of official numerics; kNone: it does not.
  Way way_of(const LinearTask& task);
  // Scratch of run(); at most most_bytes() where a task has no more rows, input and output columns.
  static size_t scratch_bytes(const LinearTask& task, Way way);
  static size_t most_bytes(int64_t rows, int64_t inputs, int64_t outputs);
  // `input_is_there`: the last run() with this memory was of the same_input() and way.
  void run(Queue queue, const LinearTask& task, Way way, bool input_is_there, void* memory);

 private:
  std::unique_ptr<GemmLibrary> library_;
};

}  // namespace ft::cuda
