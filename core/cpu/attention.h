// Attention core: one two-pass softmax per row and head over a list of shared
// key/value rows (docs/spec/model.md 3.7).
#pragma once

#include <cstdint>

#include "core/backend.h"

namespace ft::cpu {

// Heads that walk the key list together, so that a key row is loaded, or unpacked, once for all of them.
inline constexpr int kHeadBlockMax = 64;

struct AttentionJob {
  const AttentionArgs* args;
  int64_t key_max;        // longest key list of the call
  int head_block;         // at most kHeadBlockMax
  float* thread_scratch;  // attention_scratch_floats() per thread
  bool official;

  int64_t blocks() const { return (args->head_count + head_block - 1) / head_block; }
  int64_t units() const { return args->q.rows * blocks(); }
};

// Longest key list that the arguments allow.
int64_t attention_key_max(const AttentionArgs& args);
// Heads of a block, so that there is work for all threads.
int attention_head_block(const AttentionArgs& args, int threads);
// Per thread: key pointers, unpacked keys, scores of the largest head block and its accumulators.
int64_t attention_scratch_floats(int64_t key_max, int64_t head_dim);
// Unit u is row u / blocks(), heads [u % blocks() * head_block, ...).
void attention_units(const AttentionJob& job, int64_t begin, int64_t end, int thread);

}  // namespace ft::cpu
