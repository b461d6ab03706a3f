// The canary: now and then, a request's committed rows are computed again, each alone, and their logits are
// compared bit for bit with those that were verified in a batch. It watches the promise that everything else
// rests on, in the running process: a row does not see its company, and what was committed is what a step
// without speculation leaves behind.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/model.h"

namespace ft::scheduler {

class Canary {
 public:
  // A share `rate` of the calls of chosen() is true, the same ones in every run.
  Canary(double rate, int64_t vocab);

  bool chosen();

  struct Check {
    SequenceId sequence = 0;
    int64_t first_position = 0;           // committed length before the step
    std::span<const int32_t> tokens;      // the rows that the step committed, in order
    std::span<const int32_t> logit_rows;  // of them, rows of `logits`
    std::span<const float> logits;        // [*, V] of the step
  };
  struct Outcome {
    int64_t checked = 0;  // rows; 0: the cache could not be rewound now
    int64_t mismatches = 0;
    std::string first;  // of the mismatches, for people
  };
  // Rewinds the sequence to before the step, computes and commits its rows one at a time, and so leaves the
  // cache as it was. Overwrites the model's output: whatever is needed of it must have been used.
  Outcome run(Model& model, const Check& check);

 private:
  double rate_;
  size_t vocab_;
  int64_t calls_ = 0;
  std::vector<float> expected_;  // copies of the logits that are compared
};

}  // namespace ft::scheduler
