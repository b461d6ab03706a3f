#include "server/generation/random_id.h"

#include <random>

namespace ft::server {

uint64_t random_bits() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seeds{device(), device(), device(), device(), device(), device(), device(), device()};
    return std::mt19937_64(seeds);
  }();
  return generator();
}

std::string random_hex(int digits) {
  std::string out;
  uint64_t bits = 0;
  for (int i = 0; i < digits; ++i) {
    if (i % 16 == 0) bits = random_bits();
    out += "0123456789abcdef"[bits & 15U];
    bits >>= 4U;
  }
  return out;
}

}  // namespace ft::server
