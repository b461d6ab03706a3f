// Cases of the ops on streams and memory.
#include <algorithm>

#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {

namespace {

constexpr int kStreams = 4;
constexpr int64_t kWidth = 256;

int64_t count_of(const RowList& rows) {
  return static_cast<int64_t>(rows.size());
}

OpCase copy_rows_case(int64_t cols) {
  RandomData random(1);
  const auto source = random.values(kCaseRows * cols);
  return {std::to_string(cols),
          nano_config(),
          {kSameBits},
          {kSameBits},
          [=](BackendMemory& memory, const RowList& rows) {
            std::vector<int32_t> from(rows.begin(), rows.end());
            std::vector<int32_t> to;
            for (const int64_t row : rows) to.push_back(static_cast<int32_t>(2 * row + 1));
            float* destination = memory.output_floats((2 * kCaseRows + 1) * cols);
            memory.backend().copy_rows(destination, memory.floats(source), cols * 4, memory.ints(from),
                                       memory.ints(to), count_of(rows));
            const auto all = memory.read(destination, (2 * kCaseRows + 1) * cols);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, pick(all, cols, RowList(to.begin(), to.end())));
            for (RowOutput& output : outputs) {  // the even rows are nobody's
              output.ints.push_back(std::all_of(all.begin(), all.begin() + cols, is_unwritten));
            }
            return outputs;
          }};
}

OpCase embed_case() {
  RandomData random(2);
  const auto table = random.weight(WeightFormat::kBF16, 300, kWidth);
  const auto tokens = random.integers(kCaseRows, 0, 299);
  return {"bf16 300x256 x4",
          nano_config(),
          {kSameBits},
          {kSameBits},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix streams = memory.output(count_of(rows), kStreams * kWidth);
            memory.backend().embed(memory.ints(pick(tokens, rows)), memory.weight(table), kStreams, streams);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(streams));
            return outputs;
          }};
}

OpCase gather_rows_case(WeightFormat format, int64_t cols) {
  RandomData random(3);
  const auto table = random.weight(format, 300, cols);
  const auto ids = random.integers(kCaseRows, 0, 299);
  const std::string name = format == WeightFormat::kF32 ? "f32" : "bf16";
  return {name + " " + std::to_string(cols),
          nano_config(),
          {kSameBits},
          {kSameBits},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix out = memory.output(count_of(rows), cols);
            memory.backend().gather_rows(memory.ints(pick(ids, rows)), memory.weight(table), out);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(out));
            return outputs;
          }};
}

OpCase hc_pre_case(int64_t width, bool with_norm) {
  RandomData random(4);
  ModelConfig config = nano_config();
  config.hidden_size = width;
  const auto streams = random.values(kCaseRows * kStreams * width);
  const auto fn = random.weight(WeightFormat::kF32, 24, kStreams * width);
  const auto base = random.values(24);
  const auto scale = random.uniform(3, 0.5f, 1.5f);
  const auto norm = random.uniform(width, 0.5f, 1.5f);
  const Tolerance mixed = f32_tolerance(kStreams * width);
  return {
      std::to_string(width) + (with_norm ? " normed" : ""),
      config,
      {mixed},
      {bf16_tolerance(kStreams * width), mixed},
      [=](BackendMemory& memory, const RowList& rows) {
        const int64_t count = count_of(rows);
        const Matrix y = memory.output(count, width);
        const Matrix post = memory.output(count, kStreams);
        const Matrix comb = memory.output(count, kStreams * kStreams);
        const HyperConnectionWeights weights{memory.weight(fn), memory.vector(base), memory.vector(scale)};
        memory.backend().hc_pre(memory.activation(pick(streams, kStreams * width, rows), kStreams * width),
                                weights, with_norm ? memory.vector(norm) : Vector{}, y, post, comb);
        std::vector<RowOutput> outputs(rows.size());
        append(outputs, memory.read(y));
        append(outputs, memory.read(post));
        append(outputs, memory.read(comb));
        return outputs;
      }};
}

OpCase hc_post_case(int64_t width) {
  RandomData random(5);
  ModelConfig config = nano_config();
  config.hidden_size = width;
  const auto streams = random.values(kCaseRows * kStreams * width);
  const auto out = random.values(kCaseRows * width);
  const auto post = random.uniform(kCaseRows * kStreams, 0.0f, 2.0f);
  const auto comb = random.uniform(kCaseRows * kStreams * kStreams, 0.0f, 0.5f);
  return {std::to_string(width),
          config,
          {f32_tolerance(5)},
          {bf16_tolerance(5)},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix x = memory.activation(pick(streams, kStreams * width, rows), kStreams * width);
            memory.backend().hc_post(
                x, {memory.activation(pick(out, width, rows), width),
                    memory.matrix(pick(post, kStreams, rows), kStreams),
                    memory.matrix(pick(comb, kStreams * kStreams, rows), kStreams * kStreams)});
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(x));
            return outputs;
          }};
}

// `in_place`: the new post and comb replace those of the sub-layer before, as in a chain of blocks.
OpCase hc_post_pre_case(int64_t width, bool in_place) {
  RandomData random(9);
  ModelConfig config = nano_config();
  config.hidden_size = width;
  const auto streams = random.values(kCaseRows * kStreams * width);
  const auto out = random.values(kCaseRows * width);
  const auto post = random.uniform(kCaseRows * kStreams, 0.0f, 2.0f);
  const auto comb = random.uniform(kCaseRows * kStreams * kStreams, 0.0f, 0.5f);
  const auto fn = random.weight(WeightFormat::kF32, 24, kStreams * width);
  const auto base = random.values(24);
  const auto scale = random.uniform(3, 0.5f, 1.5f);
  const auto norm = random.uniform(width, 0.5f, 1.5f);
  return {std::to_string(width) + (in_place ? " in place" : ""),
          config,
          {f32_tolerance(kStreams * width)},
          {bf16_tolerance(kStreams * width)},
          [=](BackendMemory& memory, const RowList& rows) {
            const int64_t count = count_of(rows);
            const Matrix x = memory.activation(pick(streams, kStreams * width, rows), kStreams * width);
            const SublayerOutput before{
                memory.activation(pick(out, width, rows), width),
                memory.matrix(pick(post, kStreams, rows), kStreams),
                memory.matrix(pick(comb, kStreams * kStreams, rows), kStreams * kStreams)};
            const Matrix y = memory.output(count, width);
            const Matrix new_post = in_place ? before.post : memory.output(count, kStreams);
            const Matrix new_comb = in_place ? before.comb : memory.output(count, kStreams * kStreams);
            memory.backend().hc_post_pre(x, before,
                                         {memory.weight(fn), memory.vector(base), memory.vector(scale)},
                                         memory.vector(norm), y, new_post, new_comb);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(x));
            append(outputs, memory.read(y));
            append(outputs, memory.read(new_post));
            append(outputs, memory.read(new_comb));
            return outputs;
          }};
}

OpCase hc_head_case(int64_t width) {
  RandomData random(6);
  ModelConfig config = nano_config();
  config.hidden_size = width;
  const auto streams = random.values(kCaseRows * kStreams * width);
  const auto fn = random.weight(WeightFormat::kF32, kStreams, kStreams * width);
  const auto base = random.values(kStreams);
  const std::vector<float> scale = {1.25f};
  return {std::to_string(width),
          config,
          {f32_tolerance(kStreams * width)},
          {bf16_tolerance(kStreams * width)},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix y = memory.output(count_of(rows), width);
            const HeadCollapseWeights head{memory.weight(fn), memory.vector(base), memory.vector(scale)};
            memory.backend().hc_head(
                memory.activation(pick(streams, kStreams * width, rows), kStreams * width), head, y);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(y));
            return outputs;
          }};
}

// `out` is the middle third of wider rows, as the auxiliary hidden states of a draft are.
OpCase stream_mean_case() {
  RandomData random(7);
  const auto streams = random.values(kCaseRows * kStreams * kWidth);
  return {"256 into 768",
          nano_config(),
          {f32_tolerance(kStreams)},
          {bf16_tolerance(kStreams)},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix all_layers = memory.output(count_of(rows), 3 * kWidth);
            const Matrix out(all_layers.data + kWidth, all_layers.rows, kWidth, all_layers.stride);
            memory.backend().stream_mean(
                memory.activation(pick(streams, kStreams * kWidth, rows), kStreams * kWidth), kStreams, out);
            const auto all = memory.read(all_layers);
            std::vector<RowOutput> outputs(rows.size());
            for (size_t r = 0; r < rows.size(); ++r) {
              const auto row = all.begin() + static_cast<int64_t>(r) * 3 * kWidth;
              outputs[r].values.emplace_back(row + kWidth, row + 2 * kWidth);
              outputs[r].ints.push_back(std::all_of(row, row + kWidth, is_unwritten));
              outputs[r].ints.push_back(std::all_of(row + 2 * kWidth, row + 3 * kWidth, is_unwritten));
            }
            return outputs;
          }};
}

OpCase combine_streams_case(bool in_place) {
  RandomData random(8);
  const auto e = random.values(kCaseRows * kWidth);
  const auto h = random.values(kCaseRows * kStreams * kWidth);
  return {in_place ? "in place" : "apart",
          nano_config(),
          {f32_tolerance(1)},
          {kSameBits},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix from = memory.activation(pick(h, kStreams * kWidth, rows), kStreams * kWidth);
            const Matrix to = in_place ? from : memory.output(count_of(rows), kStreams * kWidth);
            memory.backend().combine_streams(memory.activation(pick(e, kWidth, rows), kWidth), from, to);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(to));
            return outputs;
          }};
}

}  // namespace

std::vector<OpCases> stream_ops() {
  return {
      {"copy_rows",
       [] {
         return std::vector{copy_rows_case(256), copy_rows_case(36)};
       }},
      {"embed", [] { return std::vector{embed_case()}; }},
      {"gather_rows",
       [] {
         return std::vector{gather_rows_case(WeightFormat::kBF16, 256),
                            gather_rows_case(WeightFormat::kF32, 40)};
       }},
      {"hc_pre",
       [] {
         return std::vector{hc_pre_case(256, true), hc_pre_case(256, false), hc_pre_case(1024, true)};
       }},
      {"hc_post",
       [] {
         return std::vector{hc_post_case(256), hc_post_case(1024)};
       }},
      {"hc_post_pre",
       [] {
         return std::vector{hc_post_pre_case(256, false), hc_post_pre_case(1024, true)};
       }},
      {"hc_head", [] { return std::vector{hc_head_case(256)}; }},
      {"stream_mean", [] { return std::vector{stream_mean_case()}; }},
      {"combine_streams",
       [] {
         return std::vector{combine_streams_case(false), combine_streams_case(true)};
       }},
  };
}

}  // namespace ft::test
