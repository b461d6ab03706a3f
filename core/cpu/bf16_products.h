// Products of bfloat16 pairs (AVX512_BF16), as the linears use them.
#pragma once

namespace ft::cpu {

// Whether this processor has them, and adds them as two fused multiply-adds without subnormals (parallel.h): first
// that of the upper halves of the words, which is rounded, then that of the lower ones. This is what Intel's manual
// defines and what AMD's processors do, too. One that rounded once, or in the other order, would change the bits of
// every sum.
bool has_bf16_products();

}  // namespace ft::cpu
