// What every op demands of its arguments, and that no backend is asked when it is not met.
#include "core/backend.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "tests/support/op_cases.h"

namespace ft::test {
namespace {

// Arguments of ops with shapes that fit each other: two rows, four streams of 8 columns, two heads of 4.
struct Arguments {
  std::vector<float> memory = std::vector<float>(4096, 1.0f);
  std::vector<int32_t> ints = std::vector<int32_t>(64, 0);
  float* next = memory.data();

  Matrix matrix(int64_t cols, int64_t rows = 2) {
    const Matrix out(next, rows, cols);
    next += rows * cols;
    return out;
  }
  Vector vector(int64_t size) { return {matrix(size, 1).data, size}; }
  Weight weight(int64_t rows, int64_t cols) {
    return {WeightFormat::kF32, matrix(cols, rows).data, nullptr, rows, cols};
  }
};

TEST(BackendDeathTest, ShapesThatContradictEachOtherEndTheProgram) {
  const auto backend = make_reference_backend(Numerics::kExact);
  Backend& b = *backend;
  const struct {
    const char* op;
    const char* message;
    std::function<void(Arguments&)> call;
  } cases[] = {
      {"embed: wider than the streams", "table.cols",
       [&](Arguments& a) { b.embed(a.ints.data(), a.weight(3, 9), 4, a.matrix(32)); }},
      {"embed: quantised table", "table.format",
       [&](Arguments& a) {
         Weight table = a.weight(3, 8);
         table.format = WeightFormat::kFp8Block;
         b.embed(a.ints.data(), table, 4, a.matrix(32));
       }},
      {"gather_rows", "table.cols",
       [&](Arguments& a) { b.gather_rows(a.ints.data(), a.weight(3, 8), a.matrix(7)); }},
      {"hc_pre: too few mixes", "hc.fn.rows",
       [&](Arguments& a) {
         b.hc_pre(a.matrix(32), {a.weight(23, 32), a.vector(23), a.vector(3)}, {}, a.matrix(8), a.matrix(4),
                  a.matrix(16));
       }},
      {"hc_pre: rows", "post.rows",
       [&](Arguments& a) {
         b.hc_pre(a.matrix(32), {a.weight(24, 32), a.vector(24), a.vector(3)}, {}, a.matrix(8),
                  a.matrix(4, 1), a.matrix(16));
       }},
      {"hc_post", "before.comb.cols",
       [&](Arguments& a) {
         b.hc_post(a.matrix(32), {a.matrix(8), a.matrix(4), a.matrix(15)});
       }},
      {"hc_post_pre: the sub-layer before", "before.output.cols",
       [&](Arguments& a) {
         b.hc_post_pre(a.matrix(32), {a.matrix(7), a.matrix(4), a.matrix(16)},
                       {a.weight(24, 32), a.vector(24), a.vector(3)}, {}, a.matrix(8), a.matrix(4),
                       a.matrix(16));
       }},
      {"hc_head", "head.scale.size",
       [&](Arguments& a) {
         b.hc_head(a.matrix(32), {a.weight(4, 32), a.vector(4), a.vector(3)}, a.matrix(8));
       }},
      {"stream_mean", "out.cols", [&](Arguments& a) { b.stream_mean(a.matrix(32), 4, a.matrix(9)); }},
      {"combine_streams", "e.rows",
       [&](Arguments& a) { b.combine_streams(a.matrix(8, 1), a.matrix(32), a.matrix(32)); }},
      {"rms_norm", "weight.size", [&](Arguments& a) { b.rms_norm(a.matrix(8), a.vector(7), a.matrix(8)); }},
      {"linear", "call.y.cols",
       [&](Arguments& a) {
         b.linear(a.matrix(8), a.weight(4, 8), a.matrix(5), LinearInput::kAsIs, LinearOutput::kF32);
       }},
      {"linear: groups", "call.groups",
       [&](Arguments& a) {
         b.linear(a.matrix(16), a.weight(5, 8), a.matrix(5), LinearInput::kAsIs, LinearOutput::kF32, 2);
       }},
      {"linears: one reads what another writes", "overlap",
       [&](Arguments& a) {
         const Matrix x = a.matrix(8), y = a.matrix(8), z = a.matrix(8);
         const Weight w = a.weight(8, 8);
         const LinearCall calls[] = {{x, &w, y}, {y, &w, z}};
         b.linears(calls);
       }},
      {"query_norm_rope", "head_dim",
       [&](Arguments& a) {
         b.query_norm_rope(a.matrix(8), 3, 1, {a.next, 2});
       }},
      {"store_kv: more columns to turn than there are", "rope_dim",
       [&](Arguments& a) {
         b.store_kv(a.matrix(8), a.vector(8), {a.next, 10}, a.next, a.ints.data());
       }},
      {"store_compressor_rows", "ape.size",
       [&](Arguments& a) {
         b.store_compressor_rows(a.matrix(8), a.matrix(8), a.vector(8), a.ints.data(), 4, a.next,
                                 a.ints.data());
       }},
      {"compress: an index key of no power of two", "is_power_of_two",
       [&](Arguments& a) {
         b.compress(a.next, a.ints.data(), 1, 4, 12, a.vector(12), {a.next, 2}, true, a.next, a.ints.data());
       }},
      {"index_query", "is_power_of_two",
       [&](Arguments& a) {
         b.index_query(a.matrix(24), 12, {a.next, 2});
       }},
      {"index_select: scores that do not fit", "visible_max",
       [&](Arguments& a) {
         CompressedView view;
         view.visible_max = 9;
         Matrix scores = a.matrix(8);
         b.index_select(a.matrix(8), a.matrix(2), 1.0f, a.next, 4, view, 2, a.ints.data(), &scores);
       }},
      {"attend: two lists of entries", "all_visible",
       [&](Arguments& a) {
         AttentionArgs args;
         const CompressedView view;
         args.q = a.matrix(8);
         args.out = a.matrix(8);
         args.sink = a.vector(2);
         args.head_count = 2;
         args.head_dim = 4;
         args.compressed = a.next;
         args.selected = a.ints.data();
         args.all_visible = &view;
         b.attend(args);
       }},
      {"route: more experts than there are", "moe.gate.rows",
       [&](Arguments& a) {
         MoeWeights moe;
         moe.gate = a.weight(4, 8);
         moe.bias = a.vector(4);
         b.route(a.matrix(8), moe, a.ints.data(), 5, 1.0f, a.ints.data(), a.next);
       }},
      {"moe: a shared expert of another width", "inner",
       [&](Arguments& a) {
         MoeWeights moe;
         moe.experts.push_back({a.weight(6, 8), a.weight(6, 8), a.weight(8, 6)});
         moe.shared = {a.weight(5, 8), a.weight(5, 8), a.weight(8, 5)};
         b.moe(a.matrix(8), moe, a.ints.data(), a.next, 1, 10.0f, a.matrix(8));
       }},
  };
  for (const auto& wrong : cases) {
    SCOPED_TRACE(wrong.op);
    Arguments arguments;
    EXPECT_DEATH(wrong.call(arguments), wrong.message);
  }
}

TEST(StepGraph, RunsItsOpsEachTimeWhereNothingIsRecorded) {
  const auto backend = make_reference_backend(Numerics::kExact);
  const auto graph = backend->make_graph();
  int runs = 0;
  for (int i = 0; i < 3; ++i) graph->run([&] { ++runs; });
  EXPECT_EQ(runs, 3);
}

}  // namespace
}  // namespace ft::test
