#include "server/api/request_fields.h"

namespace ft::server {
namespace {

using encoding::Json;

bool asks_for_nothing(const Json& value) {
  return value.is_null() || (value.is_bool() && !value.as_bool()) ||
         (value.is_string() && value.as_string().empty()) || (value.is_array() && value.size() == 0) ||
         (value.is_object() && value.size() == 0);
}

std::string_view effect_name(FieldEffect effect) {
  switch (effect) {
    case FieldEffect::kActs:
      return "acts";
    case FieldEffect::kNone:
      return "accepted, without effect";
    case FieldEffect::kRefused:
      break;
  }
  return "refused";
}

}  // namespace

ApiResult<void> check_fields(const Json& object, std::span<const RequestField> fields,
                             std::string_view path) {
  for (const RequestField& field : fields) {
    if (field.effect != FieldEffect::kRefused) continue;
    const Json* value = object.find(field.name);
    if (value == nullptr || asks_for_nothing(*value)) continue;
    std::string name = path.empty() ? std::string(field.name) : fmt::format("{}.{}", path, field.name);
    std::string message =
        fmt::format("'{}' is not supported{}{}", name, field.note.empty() ? "" : ": ", field.note);
    return refuse(bad_field(std::move(name), std::move(message)));
  }
  return {};
}

std::string fields_markdown(std::span<const RequestField> fields) {
  std::string out = "| field | effect | |\n|---|---|---|\n";
  for (const RequestField& field : fields)
    out += fmt::format("| `{}` | {} | {} |\n", field.name, effect_name(field.effect), field.note);
  return out;
}

}  // namespace ft::server
