// Cases of the compressor and the indexer.
#include <algorithm>
#include <cmath>

#include "core/layer_kind.h"
#include "tests/support/entry_pool.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {

namespace {

OpCase store_compressor_rows_case(int ratio, int64_t width) {
  RandomData random(60);
  const auto k = random.values(kCaseRows * width);
  const auto g = random.values(kCaseRows * width);
  const auto ape = random.values(ratio * width);
  const auto positions = random.integers(kCaseRows, 0, 8000);
  const auto slots = random.permutation(2 * kCaseRows);
  const std::string name = "ratio " + std::to_string(ratio) + ", " + std::to_string(width);
  return {name, nano_config(), {kSameBits}, {kSameBits}, [=](BackendMemory& memory, const RowList& rows) {
            const auto dst = pick(slots, rows);
            float* state = memory.output_floats(2 * kCaseRows * 2 * width);
            memory.backend().store_compressor_rows(
                memory.matrix(pick(k, width, rows), width), memory.matrix(pick(g, width, rows), width),
                memory.vector(ape), memory.ints(pick(positions, rows)), ratio, state, memory.ints(dst));
            const auto all = memory.read(state, 2 * kCaseRows * 2 * width);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, pick(all, 2 * width, RowList(dst.begin(), dst.end())));
            return outputs;
          }};
}

// Here a row of the case is a closing block.
OpCase compress_case(const ModelConfig& config, int ratio, int64_t c, bool is_index_key) {
  RandomData random(61);
  const int blocks = pooled_blocks(ratio);
  const int64_t state_rows = 3 * ratio + 100;
  const auto state = random.values(state_rows * 2 * blocks * c);
  const int64_t source_count = blocks * ratio;
  std::vector<int32_t> sources;
  for (int64_t r = 0; r < kCaseRows; ++r) {
    for (int64_t s = 0; s < source_count; ++s) {
      // The first block of a sequence has no previous rows.
      const bool missing = blocks == 2 && r % 5 == 0 && s < ratio;
      sources.push_back(missing ? -1 : random.integer(0, static_cast<int32_t>(state_rows) - 1));
    }
  }
  const auto norm = random.uniform(c, 0.5f, 1.5f);
  const auto positions = random.integers(kCaseRows, 0, 8000);
  const auto slots = random.permutation(2 * kCaseRows);
  const std::string name =
      "ratio " + std::to_string(ratio) + ", " + std::to_string(c) + (is_index_key ? " index key" : "");
  return {name,
          config,
          {f32_tolerance(c + source_count)},
          {is_index_key ? e2m1_tolerance() : e4m3_tolerance()},
          [=](BackendMemory& memory, const RowList& rows) {
            std::vector<int32_t> addresses;
            for (const int64_t row : rows) {
              addresses.insert(addresses.end(), sources.begin() + row * source_count,
                               sources.begin() + (row + 1) * source_count);
            }
            const auto dst = pick(slots, rows);
            float* out = memory.output_floats(2 * kCaseRows * c);
            memory.backend().compress(memory.floats(state), memory.ints(addresses),
                                      static_cast<int64_t>(rows.size()), ratio, c, memory.vector(norm),
                                      memory.rotations(RopeTable::compressed(config), pick(positions, rows)),
                                      is_index_key, out, memory.ints(dst));
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, pick(memory.read(out, 2 * kCaseRows * c), c, RowList(dst.begin(), dst.end())));
            return outputs;
          }};
}

OpCase index_query_case(const ModelConfig& config) {
  RandomData random(62);
  const int64_t width = config.index_n_heads * config.index_head_dim;
  const auto q = random.values(kCaseRows * width);
  const auto positions = random.integers(kCaseRows, 0, 8000);
  const std::string name = std::to_string(config.index_n_heads) + "x" + std::to_string(config.index_head_dim);
  return {name,
          config,
          {f32_tolerance(config.index_head_dim)},
          {e2m1_tolerance()},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix x = memory.activation(pick(q, width, rows), width);
            memory.backend().index_query(
                x, config.index_head_dim,
                memory.rotations(RopeTable::compressed(config), pick(positions, rows)));
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(x));
            return outputs;
          }};
}

ModelConfig with_index_heads(int heads, int dim) {
  ModelConfig config = nano_config();
  config.index_n_heads = heads;
  config.index_head_dim = dim;
  config.index_topk = 24;
  return config;
}

OpCase index_select_case(const ModelConfig& config, int32_t top_k, int32_t visible_max) {
  RandomData random(63);
  const int64_t c = config.index_head_dim;
  const int64_t heads = config.index_n_heads;
  const auto q = random.values(kCaseRows * heads * c);
  const auto weights = random.values(kCaseRows * heads);
  const EntryPool pool(random, c, visible_max);
  const float scale = 1.0f / std::sqrt(static_cast<float>(c * heads));
  const std::string name = std::to_string(heads) + "x" + std::to_string(c) + ", " + std::to_string(top_k) +
                           " of " + std::to_string(visible_max);
  return {name,
          config,
          {f32_tolerance(c * heads)},
          {{0.03, std::ldexp(1.0, -6), 3e-3}},
          [=](BackendMemory& memory, const RowList& rows) {
            const auto count = static_cast<int64_t>(rows.size());
            const Matrix queries = memory.activation(pick(q, heads * c, rows), heads * c);
            const Matrix head_weights = memory.activation(pick(weights, heads, rows), heads);
            const float* keys = memory.rounded(pool.entries());
            const CompressedView view = pool.view(memory, rows);
            int32_t* selected = memory.output_ints(count * top_k);
            int32_t* selected_again = memory.output_ints(count * top_k);
            Matrix scores = memory.output(count, visible_max + 3);
            memory.backend().index_select(queries, head_weights, scale, keys, c, view, top_k, selected);
            memory.backend().index_select(queries, head_weights, scale, keys, c, view, top_k, selected_again,
                                          &scores);
            const auto chosen = memory.read(selected, count * top_k);
            const auto chosen_again = memory.read(selected_again, count * top_k);
            const auto all_scores = memory.read(scores);
            std::vector<RowOutput> outputs(rows.size());
            for (int64_t r = 0; r < count; ++r) {
              RowOutput& output = outputs[r];
              const auto visible = pool.visible(rows[r]);
              const auto begin = all_scores.begin() + r * (visible_max + 3);
              output.values.emplace_back(begin, begin + static_cast<int64_t>(visible.size()));
              for (size_t j = 0; j < visible.size(); ++j) output.scores.emplace_back(visible[j], begin[j]);
              output.chosen.assign(chosen.begin() + r * top_k, chosen.begin() + (r + 1) * top_k);
              // Asking for scores changes nothing; the list is in order of j with -1 behind.
              output.ints.push_back(
                  std::equal(output.chosen.begin(), output.chosen.end(), chosen_again.begin() + r * top_k));
              size_t listed = 0;
              for (const int32_t address : visible) {
                if (listed < output.chosen.size() && output.chosen[listed] == address) ++listed;
              }
              output.ints.push_back(static_cast<int32_t>(listed));
              output.ints.push_back(std::all_of(output.chosen.begin() + static_cast<int64_t>(listed),
                                                output.chosen.end(),
                                                [](int32_t address) { return address == -1; }));
            }
            return outputs;
          }};
}

}  // namespace

std::vector<OpCases> compressor_ops() {
  return {
      {"store_compressor_rows",
       [] {
         return std::vector{store_compressor_rows_case(4, 256), store_compressor_rows_case(128, 128),
                            store_compressor_rows_case(16, 512)};
       }},
      {"compress",
       [] {
         const ModelConfig nano = nano_config();
         const ModelConfig wide = wide_head_config();
         return std::vector{compress_case(nano, 4, 128, false), compress_case(nano, 128, 128, false),
                            compress_case(nano, 4, 64, true),   compress_case(nano, 16, 128, false),
                            compress_case(wide, 4, 512, false), compress_case(wide, 128, 512, false),
                            compress_case(wide, 4, 128, true)};
       }},
      {"index_query",
       [] {
         return std::vector{index_query_case(nano_config()), index_query_case(wide_head_config())};
       }},
      {"index_select",
       [] {
         const ModelConfig nano = nano_config();
         return std::vector{index_select_case(nano, 64, 61),
                            index_select_case(nano, 6, 100),
                            index_select_case(nano, 64, 300),
                            index_select_case(wide_head_config(), 24, 100),
                            index_select_case(with_index_heads(3, 16), 24, 150),
                            index_select_case(with_index_heads(8, 32), 24, 100),
                            index_select_case(with_index_heads(9, 32), 24, 100),
                            index_select_case(with_index_heads(72, 64), 24, 100)};
       }},
  };
}

}  // namespace ft::test
