#include "server/api/request_params.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

namespace ft::server {
namespace {

using encoding::Json;
using enum FieldEffect;

constexpr RequestField kSamplingFields[] = {
    {"temperature", kActs, ""},
    {"top_p", kActs, ""},
    {"top_k", kActs, "0 and -1 are off"},
    {"min_p", kActs, ""},
    {"presence_penalty", kActs, ""},
    {"frequency_penalty", kActs, ""},
    {"repetition_penalty", kActs, ""},
    {"logit_bias", kActs, ""},
    {"seed", kActs, ""},
    {"stop_token_ids", kActs, ""},
    {"ignore_eos", kActs, ""},
    {"speculation", kActs, "enabled, drafter, max_nodes, tree: never the text, only the time"},
    {"priority", kActs, "lower ones first, within --max-priority"},
};

// The seed is any 64-bit integer; negative ones are taken by their bits.
std::optional<uint64_t> read_seed(FieldReader& fields) {
  const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX);
  if (!seed) return std::nullopt;
  return static_cast<uint64_t>(*seed);
}

// A number in (0, max].
double read_positive(FieldReader& fields, std::string_view name, double max, double otherwise) {
  const auto number = fields.number(name, 0.0, max);
  if (number && *number <= 0.0) {
    fields.refuse(
        name, fmt::format("'{}' must be above 0 and at most {}, not {}", fields.path(name), max, *number));
  }
  return number.value_or(otherwise);
}

void read_logit_bias(FieldReader& fields, const RequestDefaults& defaults, verify::SamplingParams& sampling) {
  const Json* bias = fields.object("logit_bias");
  if (bias == nullptr) return;
  if (bias->size() > kLogitBiasMax) {
    fields.refuse("logit_bias",
                  fmt::format("'logit_bias' has {} entries, more than {}", bias->size(), kLogitBiasMax));
    return;
  }
  FieldReader entries(*bias, fields.path("logit_bias"));
  for (const auto& [key, value] : bias->as_object()) {
    int32_t token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size() || token < 0 || token >= defaults.vocab_size) {
      fields.refuse("logit_bias", fmt::format("'logit_bias' has the key '{}', expected a token id below {}",
                                              key.substr(0, 40), defaults.vocab_size));
      return;
    }
    if (const auto amount = entries.number(key, -100.0, 100.0)) {
      sampling.logit_bias.emplace_back(token, static_cast<float>(*amount));
    } else if (entries.ok()) {
      entries.refuse(key, type_message(entries.path(key), "a number", value));
    }
  }
  if (entries.error()) fields.refuse(*entries.error());
  std::sort(sampling.logit_bias.begin(), sampling.logit_bias.end());
  const auto twice = std::adjacent_find(sampling.logit_bias.begin(), sampling.logit_bias.end(),
                                        [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != sampling.logit_bias.end()) {
    fields.refuse("logit_bias", fmt::format("'logit_bias' names token {} twice", twice->first));
  }
}

void read_stop_tokens(FieldReader& fields, const RequestDefaults& defaults, RequestParams& params) {
  const Json* tokens = fields.array("stop_token_ids");
  if (tokens == nullptr) return;
  if (tokens->size() > kStopTokensMax) {
    fields.refuse("stop_token_ids", fmt::format("'stop_token_ids' has {} entries, more than {}",
                                                tokens->size(), kStopTokensMax));
    return;
  }
  for (const Json& entry : tokens->as_array()) {
    const std::optional<int64_t> token = entry.to_int64();
    if (!token || *token < 0 || *token >= defaults.vocab_size) {
      fields.refuse("stop_token_ids",
                    fmt::format("'stop_token_ids' must hold token ids below {}", defaults.vocab_size));
      return;
    }
    params.stop_token_ids.push_back(static_cast<int32_t>(*token));
  }
}

void read_include_speculation(FieldReader& fields, RequestParams& params) {
  const Json* wanted = fields.any("include_speculation");
  if (wanted == nullptr) return;
  params.include_steps = wanted->is_string() && wanted->as_string() == "steps";
  if (params.include_steps) {
    params.include_speculation = true;
  } else if (wanted->is_string()) {
    fields.refuse("include_speculation",
                  fmt::format("'include_speculation' is '{}': expected a boolean or 'steps'",
                              wanted->as_string().substr(0, 40)));
  } else {
    params.include_speculation = fields.boolean("include_speculation").value_or(false);
  }
}

void read_stream(FieldReader& fields, RequestParams& params) {
  params.stream = fields.boolean("stream").value_or(false);
  if (const Json* options = fields.object("stream_options")) {
    FieldReader reader(*options, fields.path("stream_options"));
    params.include_usage = reader.boolean("include_usage").value_or(false);
    if (reader.boolean("continuous_usage_stats").value_or(false))
      reader.refuse("continuous_usage_stats",
                    "'stream_options.continuous_usage_stats' is not supported: usage "
                    "comes once, at the end");
    if (reader.error()) fields.refuse(*reader.error());
  }
  read_include_speculation(fields, params);
}

void read_drafter(FieldReader& reader, const RequestDefaults& defaults,
                  scheduler::SpeculationParams& speculation) {
  const auto name = reader.text("drafter");
  if (!name || *name == "auto") return;
  if (*name == "none") {
    speculation.enabled = false;
    return;
  }
  const auto& offers = defaults.drafters;
  const auto choice = draft::parse_drafter(*name);
  if (choice && std::find(offers.begin(), offers.end(), *name) != offers.end()) {
    speculation.drafter = *choice;
    return;
  }
  std::string list;
  for (const std::string& offered : offers) list += fmt::format("'{}', ", offered);
  reader.refuse("drafter", fmt::format("'{}' is '{}', but this server offers {}'auto' and 'none'",
                                       reader.path("drafter"), name->substr(0, 40), list));
}

void read_speculation(FieldReader& fields, const RequestDefaults& defaults,
                      scheduler::SpeculationParams& speculation) {
  const Json* object = fields.object("speculation");
  if (object == nullptr) return;
  FieldReader reader(*object, fields.path("speculation"));
  speculation.enabled = reader.boolean("enabled").value_or(true);
  read_drafter(reader, defaults, speculation);
  if (const auto nodes = reader.integer("max_nodes", 1, defaults.tree_nodes_max)) {
    speculation.max_nodes = static_cast<int32_t>(*nodes);
  }
  if (const auto tree = reader.text("tree")) {
    if (*tree == "chain") {
      speculation.shape = draft::TreeShape::kChain;
    } else if (*tree == "best-first") {
      speculation.shape = draft::TreeShape::kBestFirst;
    } else {
      reader.refuse(
          "tree", fmt::format("'{}' must be 'best-first' or 'chain', not '{}'", reader.path("tree"), *tree));
    }
  }
  // Ours, so a key that is not known is a mistake, not an extension of somebody else's.
  for (const auto& [key, value] : object->as_object()) {
    if (key != "enabled" && key != "drafter" && key != "max_nodes" && key != "tree") {
      reader.refuse(key, fmt::format("'{}' is unknown: expected enabled, drafter, max_nodes or tree",
                                     reader.path(key)));
    }
  }
  if (reader.error()) fields.refuse(*reader.error());
}

// {"type": "content", "content": a string or text parts}, which are joined.
std::optional<std::string> read_prediction(FieldReader& fields) {
  const Json* object = fields.object("prediction");
  if (object == nullptr || object->size() == 0) return std::nullopt;
  FieldReader reader(*object, fields.path("prediction"));
  const auto type = reader.text("type");
  if (reader.ok() && type != "content")
    reader.refuse("type", fmt::format("'{}' must be 'content'", reader.path("type")));
  std::string text;
  const Json* content = reader.any("content");
  if (content == nullptr) {
    if (reader.ok()) reader.refuse("content", fmt::format("'{}' is missing", reader.path("content")));
  } else if (content->is_string()) {
    text = content->as_string();
  } else if (const Json* parts = reader.array("content")) {
    for (size_t i = 0; i < parts->size(); ++i) {
      const Json& part = parts->as_array()[i];
      if (part.get("type") == Json("text") && part.get("text").is_string())
        text += part.get("text").as_string();
      else
        reader.refuse(
            bad_field(fmt::format("{}[{}]", reader.path("content"), i),
                      fmt::format("'{}[{}]' must be a part of type 'text'", reader.path("content"), i)));
    }
  }
  if (reader.error()) fields.refuse(*reader.error());
  return text;
}

}  // namespace

std::vector<RequestField> with_sampling_fields(std::span<const RequestField> own) {
  std::vector<RequestField> all(own.begin(), own.end());
  all.insert(all.end(), std::begin(kSamplingFields), std::end(kSamplingFields));
  return all;
}

void check_ignore_eos(FieldReader& fields, const RequestParams& params) {
  if (params.format.grammar != nullptr && params.ignore_eos)
    fields.refuse("ignore_eos", fmt::format("'ignore_eos' does not go with '{}'", params.format.field));
}

void read_sampling(FieldReader& fields, const RequestDefaults& defaults, verify::SamplingParams& sampling) {
  sampling.temperature = fields.number("temperature", 0.0, 100.0).value_or(1.0);
  sampling.top_p = fields.number("top_p", 0.0, 1.0).value_or(1.0);
  // -1 and 0 both mean "off" to clients.
  sampling.top_k = std::max<int64_t>(0, fields.integer("top_k", -1, INT32_MAX).value_or(0));
  if (sampling.top_p == 0.0) {
    // The smallest set with any probability is the likeliest token alone.
    sampling.top_p = 1.0;
    sampling.top_k = 1;
  }
  sampling.min_p = fields.number("min_p", 0.0, 1.0).value_or(0.0);
  sampling.presence_penalty = fields.number("presence_penalty", -2.0, 2.0).value_or(0.0);
  sampling.frequency_penalty = fields.number("frequency_penalty", -2.0, 2.0).value_or(0.0);
  sampling.repetition_penalty = read_positive(fields, "repetition_penalty", 100.0, 1.0);
  read_logit_bias(fields, defaults, sampling);
}

void read_stop_strings(FieldReader& fields, std::string_view name, RequestParams& params) {
  const auto add = [&](const std::string& stop) {
    if (stop.size() > kStopBytesMax) {
      fields.refuse(
          name, fmt::format("a string of '{}' has {} bytes, more than {}", name, stop.size(), kStopBytesMax));
    } else if (!stop.empty()) {
      params.stop.push_back(stop);
    }
  };
  if (const Json* stop = fields.any(name)) {
    if (stop->is_string()) {
      add(stop->as_string());
    } else if (!stop->is_array()) {
      fields.refuse(name, type_message(name, "a string or an array of strings", *stop));
    } else if (stop->size() > kStopStringsMax) {
      fields.refuse(name,
                    fmt::format("'{}' has {} strings, more than {}", name, stop->size(), kStopStringsMax));
    } else {
      for (size_t i = 0; i < stop->size(); ++i) {
        const Json& entry = stop->as_array()[i];
        if (entry.is_string()) {
          add(entry.as_string());
        } else {
          const std::string place = fmt::format("{}[{}]", name, i);
          fields.refuse(bad_field(place, type_message(place, "a string", entry)));
        }
      }
    }
  }
}

void read_engine_params(FieldReader& fields, const RequestDefaults& defaults, RequestParams& params) {
  params.seed = read_seed(fields);
  read_stop_tokens(fields, defaults, params);
  params.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  read_speculation(fields, defaults, params.speculation);
  const auto priority =
      static_cast<int32_t>(fields.integer("priority", -kPriorityMax, kPriorityMax).value_or(0));
  params.priority = -std::clamp(priority, -defaults.priority_max, defaults.priority_max);
}

std::optional<int64_t> read_token_limit(FieldReader& fields, std::string_view name) {
  const auto limit = fields.integer(name, -1, INT64_MAX);
  if (!limit || *limit < 1) return std::nullopt;
  return std::min<int64_t>(*limit, INT32_MAX);
}

RequestParams read_request_params(FieldReader& fields, const RequestDefaults& defaults) {
  RequestParams params;
  params.model = fields.text("model").value_or("");
  const auto older = read_token_limit(fields, "max_tokens");
  const auto newer = read_token_limit(fields, "max_completion_tokens");
  params.max_tokens = newer ? newer : older;
  params.choices = static_cast<int>(fields.integer("n", 1, kChoicesMax).value_or(1));
  read_stream(fields, params);
  read_sampling(fields, defaults, params.sampling);
  read_stop_strings(fields, "stop", params);
  read_engine_params(fields, defaults, params);
  params.format = read_output_format(fields);
  params.prediction = read_prediction(fields);
  check_ignore_eos(fields, params);
  return params;
}

ApiResult<void> check_choices(size_t choices, const RequestDefaults& defaults, std::string field) {
  if (choices <= defaults.choices_max) return {};
  return refuse(
      bad_field(std::move(field), fmt::format("{} choices in one request, but this server takes {} at a time",
                                              choices, defaults.choices_max)));
}

}  // namespace ft::server
