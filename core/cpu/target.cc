#include "core/cpu/target.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/target.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

const char* target_name_target() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(target_name_target);

const char* target_name() {
  return HWY_DYNAMIC_DISPATCH(target_name_target)();
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
