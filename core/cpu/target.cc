#include "core/cpu/target.h"

#include <algorithm>
#include <string>

#include "core/check.h"
#include "core/cpu/bf16_products.h"
#include "hwy/highway.h"

namespace ft::cpu {
namespace {

struct Target {
  std::string_view name;
  int64_t bit;         // Highway's; a better instruction set has a lower one
  bool bf16_products;  // beside it
};
constexpr Target kTargets[] = {{"avx512-bf16", HWY_AVX3_DL, true},
                               {"avx512-vnni", HWY_AVX3_DL, false},
                               {"avx512", HWY_AVX3, false},
                               {"avx2", HWY_AVX2, false}};

bool available(const Target& target) {
  return (hwy::SupportedTargets() & HWY_TARGETS & target.bit) != 0 &&
         (!target.bf16_products || has_bf16_products());
}

// Whether the chosen target has them. Kept, because Highway asks the processor each time, which takes microseconds.
bool& chosen_bf16_products() {
  static bool chosen = available(kTargets[0]);
  return chosen;
}

}  // namespace

std::vector<std::string_view> available_targets() {
  std::vector<std::string_view> names;
  for (const Target& target : kTargets) {
    if (available(target) && (!target.bf16_products || uses_bf16_products())) names.push_back(target.name);
  }
  return names;
}

bool uses_bf16_products() {
  return chosen_bf16_products();
}

std::string_view target_name() {
  const std::vector<std::string_view> names = available_targets();
  FT_CHECK(!names.empty(), hwy::SupportedTargets());
  return names.front();
}

Result<void> use_target(std::string_view name) {
  hwy::DisableTargets(0);
  chosen_bf16_products() = available(kTargets[0]);
  const std::vector<std::string_view> names = available_targets();
  if (names.empty()) {
    return fail(
        ErrorCode::kUnavailable,
        "the CPU backend needs a processor with AVX2, FMA and F16C (Intel as of Haswell, AMD as of Zen), "
        "which this one lacks; --backend reference runs on any, slowly");
  }
  if (name == "auto") return {};
  const auto target = std::ranges::find(kTargets, name, &Target::name);
  if (target == std::end(kTargets)) {
    return fail(ErrorCode::kInvalidArgument,
                "CPU target '{}' is unknown: expected auto, avx512-bf16, avx512-vnni, avx512 or avx2", name);
  }
  if (std::ranges::find(names, name) == names.end()) {
    std::string list;
    for (const std::string_view known : names) list.append(list.empty() ? "" : ", ").append(known);
    return fail(ErrorCode::kUnavailable, "this processor lacks the CPU target '{}': it has {}", name, list);
  }
  hwy::DisableTargets(target->bit - 1);  // all that are better
  chosen_bf16_products() = target->bf16_products;
  return {};
}

}  // namespace ft::cpu
