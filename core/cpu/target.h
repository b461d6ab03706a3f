// Which instruction set the kernels run on.
#pragma once

namespace ft::cpu {

// The one that dispatch picks on this machine, e.g. "AVX3" (AVX-512), "AVX2".
const char* target_name();

}  // namespace ft::cpu
