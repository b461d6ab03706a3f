// Cases of queries, window keys and the attention core.
#include "tests/support/entry_pool.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {

namespace {

OpCase query_norm_rope_case(const ModelConfig& config) {
  RandomData random(40);
  const int64_t width = config.num_attention_heads * config.head_dim;
  const auto q = random.values(kCaseRows * width);
  const auto positions = random.integers(kCaseRows, 0, 8000);
  // One bf16 neighbour in the factor of a head moves the whole head.
  Tolerance official = bf16_tolerance(config.head_dim);
  official.l2 = 5e-3;
  return {std::to_string(config.head_dim),
          config,
          {f32_tolerance(config.head_dim)},
          {official},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix x = memory.activation(pick(q, width, rows), width);
            memory.backend().query_norm_rope(
                x, config.head_dim, 1, memory.rotations(RopeTable::plain(config), pick(positions, rows)));
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(x));
            return outputs;
          }};
}

OpCase store_kv_case(const ModelConfig& config) {
  RandomData random(41);
  const int64_t c = config.head_dim;
  const auto x = random.values(kCaseRows * c);
  const auto norm = random.uniform(c, 0.5f, 1.5f);
  const auto positions = random.integers(kCaseRows, 0, 8000);
  const auto slots = random.permutation(2 * kCaseRows);
  return {std::to_string(c),
          config,
          {f32_tolerance(c)},
          {e4m3_tolerance()},
          [=](BackendMemory& memory, const RowList& rows) {
            const auto dst = pick(slots, rows);
            float* raw = memory.output_floats(2 * kCaseRows * c);
            memory.backend().store_kv(memory.activation(pick(x, c, rows), c), memory.vector(norm),
                                      memory.rotations(RopeTable::compressed(config), pick(positions, rows)),
                                      raw, memory.ints(dst));
            auto all = memory.read(raw, 2 * kCaseRows * c);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, pick(all, c, RowList(dst.begin(), dst.end())));
            int32_t written = 0;
            for (const float value : all) written += is_unwritten(value) ? 0 : 1;
            for (RowOutput& output : outputs) {  // no other slot was touched
              output.ints.push_back(written == static_cast<int32_t>(rows.size()) * c ? 1 : 0);
            }
            return outputs;
          }};
}

enum class Layer { kSwa, kCsa, kHca };

OpCase attend_case(const ModelConfig& config, Layer layer) {
  RandomData random(42);
  const int64_t c = config.head_dim;
  const int heads = config.num_attention_heads;
  const int64_t raw_rows = 400;
  const auto q = random.values(kCaseRows * heads * c);
  const auto raw = random.values(raw_rows * c);
  const auto sink = random.uniform(heads, -2.0f, 4.0f);
  const auto positions = random.integers(kCaseRows, 0, 8000);
  const int32_t width = config.sliding_window;
  // Row r sees min(4r + 1, window) raw rows; the rest of its list is empty.
  std::vector<int32_t> window(static_cast<size_t>(kCaseRows * width), -1);
  for (int64_t r = 0; r < kCaseRows; ++r) {
    for (int32_t i = 0; i < width && i < 4 * r + 1; ++i) {
      window[r * width + i] = random.integer(0, static_cast<int32_t>(raw_rows) - 1);
    }
  }
  const EntryPool pool(random, c, 60);
  const int32_t top_k = config.index_topk;
  std::vector<int32_t> selected(static_cast<size_t>(kCaseRows * top_k), -1);
  for (int64_t r = 0; r < kCaseRows; ++r) {
    for (int32_t i = 0; i < top_k && i < 3 * r; ++i) {
      selected[r * top_k + i] = random.integer(0, pool.entry_count() - 1);
    }
  }
  const std::string name = layer == Layer::kSwa ? "swa" : layer == Layer::kCsa ? "csa" : "hca";
  const Tolerance exact = f32_tolerance(4 * c);
  // A key's weight whose bf16 neighbour differs moves the output by up to 2^-8 of that key's share.
  Tolerance official = bf16_tolerance(4 * c);
  official.rms += 1.0 / 256;
  return {name + " " + std::to_string(c),
          config,
          {exact},
          {official},
          [=](BackendMemory& memory, const RowList& rows) {
            const auto rows_of = [&](const std::vector<int32_t>& lists, int32_t list_width) {
              std::vector<int32_t> picked;
              for (const int64_t row : rows) {
                picked.insert(picked.end(), lists.begin() + row * list_width,
                              lists.begin() + (row + 1) * list_width);
              }
              return memory.ints(picked);
            };
            const CompressedView view = pool.view(memory, rows);
            AttentionArgs args;
            args.q = memory.activation(pick(q, heads * c, rows), heads * c);
            args.raw = memory.rounded(raw);
            args.window = rows_of(window, width);
            args.window_width = width;
            if (layer != Layer::kSwa) args.compressed = memory.rounded(pool.entries());
            if (layer == Layer::kCsa) {
              args.selected = rows_of(selected, top_k);
              args.selected_width = top_k;
            }
            if (layer == Layer::kHca) args.all_visible = &view;
            args.sink = memory.vector(sink);
            args.head_count = heads;
            args.head_dim = c;
            args.inverse = memory.rotations(RopeTable::compressed(config), pick(positions, rows));
            args.out = memory.output(static_cast<int64_t>(rows.size()), heads * c);
            memory.backend().attend(args);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(args.out));
            return outputs;
          }};
}

template <class MakeCase>
std::vector<OpCase> for_both_heads(MakeCase make_case) {
  return {make_case(nano_config()), make_case(wide_head_config())};
}

}  // namespace

std::vector<OpCases> attention_ops() {
  return {
      {"query_norm_rope", [] { return for_both_heads(query_norm_rope_case); }},
      {"store_kv", [] { return for_both_heads(store_kv_case); }},
      {"attend",
       [] {
         std::vector<OpCase> cases;
         for (const Layer layer : {Layer::kSwa, Layer::kCsa, Layer::kHca}) {
           cases.push_back(attend_case(nano_config(), layer));
           cases.push_back(attend_case(wide_head_config(), layer));
         }
         return cases;
       }},
  };
}

}  // namespace ft::test
