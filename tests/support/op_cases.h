// The table of op cases: every op of core/backend.h on random rows, runnable with any selection of its rows.
//
// A case draws its inputs for kCaseRows rows once, from its own seed. Running it with a list of row numbers
// gives those rows to the op, in that order, and returns what the op wrote for each. So one table tells
// whether a backend agrees with the reference, and whether a row depends on its company.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "core/model_config.h"
#include "tests/support/backend_memory.h"

namespace ft::test {

inline constexpr int64_t kCaseRows = 33;

using RowList = std::vector<int64_t>;

// What an op wrote for one row.
struct RowOutput {
  std::vector<std::vector<float>> values;  // one vector for each output
  std::vector<int32_t> ints;
  // A choice of candidates by score:
  // `chosen` may differ between backends where scores are near the threshold.
  std::vector<int32_t> chosen;
  std::vector<std::pair<int32_t, float>> scores;  // every candidate
};

// How far one output may be from the reference's.
// For an element: rms * (root mean square of the reference's values in that row) + relative * |reference|.
// For all rows together: norm of the difference at most l2 * norm of the reference
// + relative * largest |reference| (one element may be off).
struct Tolerance {
  double rms = 0.0;
  double relative = 0.0;
  double l2 = 0.0;
};

struct OpCase {
  std::string shape;
  ModelConfig config;            // for reserve()
  std::vector<Tolerance> exact;  // one for each output; the last one stands for all that follow
  std::vector<Tolerance> official;
  std::function<std::vector<RowOutput>(BackendMemory&, const RowList&)> run;
};

// Bit equality.
inline constexpr Tolerance kSameBits{0.0, 0.0, 0.0};
// Float32 arithmetic whose longest sum has `terms` terms of like size: its error is a small multiple of 2^-24
// * sqrt(terms) relative to the norm of the terms, which for random terms is the size of the sum itself.
Tolerance f32_tolerance(int64_t terms);
// The same, then rounded to bf16 (perhaps twice in a row): rarely another neighbour.
Tolerance bf16_tolerance(int64_t terms);
// bf16 values then quantised: a neighbour in bf16 may be another code.
Tolerance e4m3_tolerance();
Tolerance e2m1_tolerance();

// Sizes of models/v4-nano, and of the real heads (c 512, window 128) at a small width.
ModelConfig nano_config();
ModelConfig wide_head_config();

// `rows` of the rows of `cols` columns in `all`.
std::vector<float> pick(const std::vector<float>& all, int64_t cols, const RowList& rows);
std::vector<int32_t> pick(const std::vector<int32_t>& all, const RowList& rows);
// Adds consecutive pieces of `values`, one for each output row, as the next output.
void append(std::vector<RowOutput>& outputs, const std::vector<float>& values);

// The cases of one op, made when asked for.
struct OpCases {
  std::string op;
  std::function<std::vector<OpCase>()> make;
};

// For the names of parameterised tests.
inline void PrintTo(const OpCases& cases, std::ostream* out) {
  *out << cases.op;
}

// Every op of the backend.
std::vector<OpCases> op_table();

// The parts of the table.
std::vector<OpCases> stream_ops();
std::vector<OpCases> linear_ops();
std::vector<OpCases> attention_ops();
std::vector<OpCases> compressor_ops();
std::vector<OpCases> moe_ops();

}  // namespace ft::test
