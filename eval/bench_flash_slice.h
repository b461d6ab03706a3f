// A slice of V4-Flash on a device: true dimensions, a few layers, random weights; what a step costs against
// its bytes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/error.h"
#include "core/model_config.h"

namespace ft::eval {

struct FlashSliceOptions {
  std::string config = "tests/data/configs/flash/config.json";
  int layers = 4;  // CSA and HCA in turn; 3.5 GB each
  std::vector<int64_t> rows = {1, 2, 4, 6, 8, 16, 32, 64};
  int64_t context = 4096;  // tokens in the cache before the measured step
  int64_t prefill = 4096;  // the last of them, computed; keys of those before are made up
  int repeats = 20;
  int threads = 0;      // of the CPU backend, for measuring what they read; 0 = all cores
  bool kernels = true;  // also time each kind of linear alone
};

// Prints to `out`: the read bandwidth of `backend`; the memory of the cache; per row count the time of a CSA
// and of an HCA layer, of their attention and expert halves, and of the head, each beside the bytes it must
// read (dense weights, the experts really chosen, keys) over that bandwidth; then the projection to the 43
// layers of Flash, which is a projection. kInvalidFile for the config, kTooLarge where the slice does not fit
// in the memory.
Result<void> bench_flash_slice(Backend& backend, const FlashSliceOptions& options, std::FILE* out);

}  // namespace ft::eval
