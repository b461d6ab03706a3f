// Which instruction set the kernels run on. All give the same bits: sums have sixteen lanes and one order
// whatever the width of a vector (lanes-inl.h).
#pragma once

#include <string_view>
#include <vector>

#include "core/error.h"

namespace ft::cpu {

// The names of the instruction sets that this processor has, best first: "avx512-bf16" (the next with products of
// bfloat16: Sapphire Rapids, Zen 4), "avx512-vnni" (AVX-512 as of Ice Lake and Zen 4), "avx512", "avx2" (with FMA and
// F16C). Empty where it has none of them.
std::vector<std::string_view> available_targets();

// The one that the kernels run on. At least one is available.
std::string_view target_name();

// Whether kernels may multiply pairs of bfloat16 (bf16_products.h).
bool uses_bf16_products();

// From now on the kernels of this process run on `name`, or on the best for "auto". kInvalidArgument for an
// unknown name, kUnavailable for what this processor lacks, both with what there is. No kernel may be
// running.
Result<void> use_target(std::string_view name);

}  // namespace ft::cpu
