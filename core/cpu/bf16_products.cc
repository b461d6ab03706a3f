#include "core/cpu/bf16_products.h"

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "core/cpu/parallel.h"
#include "core/dtype.h"

namespace ft::cpu {
namespace {

constexpr int kLanes = 16;

struct Words {
  alignas(64) uint32_t a[kLanes], b[kLanes];
  alignas(64) float sum[kLanes];
};

__attribute__((target("avx512f,avx512bf16"))) void multiply(Words& words) {
  const __m512 sum =
      _mm512_dpbf16_ps(_mm512_load_ps(words.sum), reinterpret_cast<__m512bh>(_mm512_load_si512(words.a)),
                       reinterpret_cast<__m512bh>(_mm512_load_si512(words.b)));
  _mm512_store_ps(words.sum, sum);
}

// As an instruction, which heeds the mode of the thread; std::fma need not be one.
__attribute__((target("fma"))) float add_product(float a, float b, float sum) {
  return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(sum)));
}

float upper(uint32_t word) {
  return bf16_to_f32(static_cast<uint16_t>(word >> 16));
}
float lower(uint32_t word) {
  return bf16_to_f32(static_cast<uint16_t>(word));
}

}  // namespace

bool has_bf16_products() {
  static const bool has = [] {
    if (!__builtin_cpu_supports("avx512bf16")) return false;
    const WithoutSubnormals on_this_thread;
    uint32_t random = 1;
    // Numbers around 2^(exponent - 127), so close that sums lose bits in either step.
    const auto half = [&](uint32_t exponent) {
      random = random * 1664525u + 1013904223u;
      return (random >> 8 & 0x807fu) | (exponent - 4 + (random >> 24) % 9) << 7;
    };
    for (int round = 0; round < 256; ++round) {
      // In every second round the products are about as small as numbers get.
      const uint32_t exponent = round % 2 == 0 ? 127 : 64, of_sum = round % 2 == 0 ? 127 : 12;
      Words words;
      float expected[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        words.a[i] = half(exponent) << 16 | half(exponent);
        words.b[i] = half(exponent) << 16 | half(exponent);
        words.sum[i] = bf16_to_f32(static_cast<uint16_t>(half(of_sum))) +
                       bf16_to_f32(static_cast<uint16_t>(half(of_sum)));
        expected[i] = add_product(lower(words.a[i]), lower(words.b[i]),
                                  add_product(upper(words.a[i]), upper(words.b[i]), words.sum[i]));
      }
      multiply(words);
      for (int i = 0; i < kLanes; ++i) {
        if (std::memcmp(&words.sum[i], &expected[i], sizeof(float)) != 0) return false;
      }
    }
    return true;
  }();
  return has;
}

}  // namespace ft::cpu
