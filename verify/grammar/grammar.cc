#include "verify/grammar/grammar.h"

#include <algorithm>

namespace ft::grammar {

uint32_t ArrayRule::counted() const {
  return max != UINT32_MAX ? max : std::max(min, static_cast<uint32_t>(prefix.size()));
}

void ObjectRule::index() {
  const auto count = static_cast<uint32_t>(members.size());
  required_from.assign(count + 1, 0);
  next_required.assign(count + 1, count);
  for (uint32_t i = count; i-- > 0;) {
    required_from[i] = required_from[i + 1] + (members[i].required ? 1 : 0);
    next_required[i] = members[i].required ? i : next_required[i + 1];
  }
}

}  // namespace ft::grammar
