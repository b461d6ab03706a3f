#include "verify/grammar/call_grammar.h"

#include <fmt/format.h>

#include <set>
#include <utility>
#include <vector>

#include "core/check.h"
#include "verify/grammar/grammar_parts.h"
#include "verify/grammar/regex.h"
#include "verify/grammar/schema_compiler.h"

namespace ft::grammar {
namespace {

constexpr std::string_view kMark = "<｜DSML｜";
constexpr std::string_view kBlock = "<｜DSML｜tool_calls>\n";
constexpr std::string_view kBlockEnd = "\n</｜DSML｜tool_calls>";
constexpr std::string_view kInvoke = "<｜DSML｜invoke name=\"";
constexpr std::string_view kInvokeEnd = "\n</｜DSML｜invoke>";
constexpr std::string_view kParameter = "\n<｜DSML｜parameter name=\"";
constexpr std::string_view kParameterEnd = "</｜DSML｜parameter>";
// Behind the name of a parameter.
constexpr std::string_view kTextHead = "\" string=\"true\">";
constexpr std::string_view kJsonHead = "\" string=\"false\">";
// What a reader could take for a tag (encoding/dsml_tag.h).
constexpr std::string_view kAnyTag = "</?[｜|]{1,2}DSML";
constexpr std::string_view kAnyJson = R"({"type": ["null", "boolean", "number", "array", "object"]})";
constexpr size_t kMaxWork = 100'000;  // of the schemas of all tools together

// Whether a name can stand between the quotes of a tag.
bool fits_tag(const std::string& name) {
  return !name.empty() && name.find_first_of("\"<>\n\r") == std::string::npos;
}

Automaton regex(std::string_view pattern, RegexMatch match) {
  Result<Automaton> made = compile_regex(pattern, match);
  FT_CHECK(made.has_value(), pattern);
  return std::move(*made);
}

Automaton without(const Automaton& texts, const Automaton& others) {
  auto made = Automaton::difference(texts, others);
  FT_CHECK(made.has_value());
  return std::move(*made);
}

class CallBuilder {
 public:
  CallBuilder(std::span<const CallableTool> tools, const CallOptions& options)
      : tools_(tools),
        options_(options),
        tags_(std::make_shared<const Automaton>(regex(kAnyTag, RegexMatch::kSearch))) {}

  tl::expected<std::shared_ptr<const Grammar>, CallError> build() {
    std::set<std::string> names;
    for (const CallableTool& tool : tools_)
      if (!fits_tag(tool.name) || !names.insert(tool.name).second)
        return tl::make_unexpected(CallError{
            tool.name, {"name", "#", "a tool that is called has a name of its own, without quotes, < or >"}});
    begin_block();
    for (size_t t = 0; t < tools_.size(); ++t) {
      auto added = add_tool(t);
      if (!added) return tl::make_unexpected(CallError{tools_[t].name, added.error()});
    }
    set_root();
    return grammar_;
  }

 private:
  enum : uint32_t { kFirst, kFurther, kEnd };                       // states of the block
  using Begins = tl::expected<std::vector<uint32_t>, SchemaError>;  // the states before a call's parameters

  static MarkupRule::Texts texts(const std::vector<std::string>& all, std::vector<MarkupRule::Edge> edges) {
    return {std::make_shared<const NameTrie>(all, std::vector<std::string>()), std::move(edges)};
  }
  uint32_t add_state(MarkupRule::State state) {
    rule_.states.push_back(state);
    return static_cast<uint32_t>(rule_.states.size()) - 1;
  }
  uint32_t add_texts(const std::vector<std::string>& all, std::vector<MarkupRule::Edge> edges) {
    rule_.texts.push_back(texts(all, std::move(edges)));
    return static_cast<uint32_t>(rule_.texts.size()) - 1;
  }
  // A state with one text, behind which comes a state.
  uint32_t add_step(std::string_view text, uint32_t next) {
    return add_state({add_texts({std::string(text)}, {{MarkupRule::kNoValue, {next}}}), 0, 0});
  }

  // The states around calls; where the tools' own begin is known when they are added.
  void begin_block() {
    // A free answer ends with the mark itself.
    const bool behind_mark = !options_.required && options_.answer == nullptr;
    const std::string_view begin = behind_mark ? kBlock.substr(kMark.size()) : kBlock;
    std::vector<std::string> first;
    std::vector<std::string> further;
    for (const CallableTool& tool : tools_) {
      const std::string head = fmt::format("{}{}\">", kInvoke, tool.name);
      first.push_back(fmt::format("{}{}{}", behind_mark ? "" : "\n\n", begin, head));
      further.push_back("\n" + head);
    }
    further.emplace_back(kBlockEnd);
    const auto count = static_cast<uint32_t>(tools_.size());
    add_texts(first, std::vector<MarkupRule::Edge>(count));
    std::vector<MarkupRule::Edge> edges(count + 1);
    edges.back().next = {kEnd};
    add_texts(further, std::move(edges));
    add_state({0, 0, count - 1});
    add_state({1, options_.several ? 0 : count, count});
    add_state({});
  }

  tl::expected<void, SchemaError> add_tool(size_t t) {
    const CallableTool& tool = tools_[t];
    Begins begin = tool.schema ? schema_parameters(*tool.schema) : any_parameters();
    if (!begin && tool.advice) begin = any_parameters();
    if (!begin) return tl::make_unexpected(begin.error());
    rule_.texts[0].edges[t].next = *begin;
    rule_.texts[1].edges[t].next = *begin;
    return {};
  }

  // The states before the parameters that a schema says, one for each alternative of them.
  Begins schema_parameters(const std::string& schema) {
    if (work_ > kMaxWork)
      return tl::make_unexpected(
          SchemaError{"", "#", "the schemas of all tools together take too much work"});
    const auto call = compile_call(schema, tags_, work_);
    if (!call) return tl::make_unexpected(call.error());
    const NodeId moved = append(*grammar_, *call->grammar);
    std::vector<uint32_t> begins;
    std::optional<SchemaError> impossible;
    for (const auto& parameters : call->alternatives) {
      const auto begin = add_parameters(parameters, moved);
      if (begin)
        begins.push_back(*begin);
      else
        impossible = begin.error();
    }
    if (begins.empty()) return tl::make_unexpected(*impossible);
    return begins;
  }

  // One trie of all heads of a call: the end of one without parameters, two for each parameter, the end behind some.
  // Returns the state before the first. `moved` is added to the values' numbers.
  tl::expected<uint32_t, SchemaError> add_parameters(const std::vector<NodeBuilder::Parameter>& parameters,
                                                     NodeId moved) {
    std::vector<std::string> heads = {"\n" + std::string(kInvokeEnd)};
    std::vector<MarkupRule::Edge> edges = {{MarkupRule::kNoValue, {kFurther}}};
    struct Place {
      uint32_t first;  // number of its first head
      bool required;
    };
    std::vector<Place> places;
    const auto states = static_cast<uint32_t>(rule_.states.size());
    for (const NodeBuilder::Parameter& parameter : parameters) {
      const auto first = static_cast<uint32_t>(heads.size());
      if (fits_tag(parameter.name))
        for (const auto& [value, head] :
             {std::pair(parameter.text, kTextHead), std::pair(parameter.json, kJsonHead)}) {
          if (value == MarkupRule::kNoValue) continue;
          heads.push_back(fmt::format("{}{}{}", kParameter, parameter.name, head));
          // Behind the value its end tag, a state of its own, then the next parameter.
          edges.push_back({value + moved, {states + 1 + 2 * static_cast<uint32_t>(places.size())}});
        }
      if (heads.size() > first)
        places.push_back({first, parameter.required});
      else if (parameter.required)
        return tl::make_unexpected(
            SchemaError{"required", "#", fmt::format("'{}' cannot be given", parameter.name)});
    }
    heads.emplace_back(kInvokeEnd);
    edges.push_back({MarkupRule::kNoValue, {kFurther}});
    const auto end = static_cast<uint32_t>(heads.size()) - 1;
    const uint32_t own = add_texts(heads, std::move(edges));
    // State k of the call is before place k; the end tag of the value of place k leads to state k + 1.
    for (size_t k = 0; k <= places.size(); ++k) {
      if (k > 0)
        FT_CHECK(add_step(kParameterEnd, states + 2 * static_cast<uint32_t>(k)) == states + 2 * k - 1, k);
      size_t must = k;
      while (must < places.size() && !places[must].required) ++must;
      MarkupRule::State state{own, k == 0 ? 0 : k < places.size() ? places[k].first : end, end};
      if (must < places.size()) {
        state.first = places[k].first;
        state.last = (must + 1 < places.size() ? places[must + 1].first : end) - 1;
      } else if (k == 0) {
        state.last = end - 1;
      }
      add_state(state);
    }
    return states;
  }

  // Parameters of any names and values, the same states for all tools.
  Begins any_parameters() {
    if (any_parameters_) return std::vector{*any_parameters_};
    const NodeId name = append_text(*grammar_, regex("[^\"<>\\n\\r]{1,128}", RegexMatch::kWhole));
    const NodeId text = append_text(*grammar_, without(Automaton::any(), *tags_));
    const auto json_grammar = compile_schema(kAnyJson);
    FT_CHECK(json_grammar.has_value());
    const NodeId json = append(*grammar_, **json_grammar) + (*json_grammar)->root;
    const auto states = static_cast<uint32_t>(rule_.states.size());
    const uint32_t heads = add_texts(
        {"\n" + std::string(kInvokeEnd), std::string(kParameter), std::string(kInvokeEnd)},
        {{MarkupRule::kNoValue, {kFurther}}, {name, {states + 2}}, {MarkupRule::kNoValue, {kFurther}}});
    const uint32_t attributes = add_texts({std::string(kTextHead), std::string(kJsonHead)},
                                          {{text, {states + 3}}, {json, {states + 3}}});
    add_state({heads, 0, 1});       // before the first
    add_state({heads, 1, 2});       // before a further one
    add_state({attributes, 0, 1});  // behind a name
    add_step(kParameterEnd, states + 1);
    any_parameters_ = states;
    return std::vector{states};
  }

  void set_root() {
    const auto markup = static_cast<uint32_t>(grammar_->markups.size());
    Node root;
    if (!options_.required && options_.answer != nullptr) {
      const NodeId answer = append(*grammar_, *options_.answer) + options_.answer->root;
      root = grammar_->nodes[answer];
    } else if (!options_.required) {
      const std::string mark(kMark);
      const Automaton marked = regex(mark, RegexMatch::kSearch);
      const NodeId free = append_text(*grammar_, without(Automaton::any(), marked));
      root = grammar_->nodes[free];
      rule_.begin = append_text(*grammar_, without(regex("[^]*" + mark, RegexMatch::kWhole),
                                                   regex("[^]*" + mark + "[^]+", RegexMatch::kWhole)));
    }
    root.markups.push_back(markup);
    grammar_->root = static_cast<NodeId>(grammar_->nodes.size());
    grammar_->nodes.push_back(std::move(root));
    grammar_->markups.push_back(std::move(rule_));
  }

  std::span<const CallableTool> tools_;
  const CallOptions& options_;
  std::shared_ptr<const Automaton> tags_;
  std::shared_ptr<Grammar> grammar_ = std::make_shared<Grammar>();
  MarkupRule rule_;
  size_t work_ = 0;
  std::optional<uint32_t> any_parameters_;
};

}  // namespace

tl::expected<std::shared_ptr<const Grammar>, CallError> call_grammar(std::span<const CallableTool> tools,
                                                                     const CallOptions& options) {
  FT_CHECK(!tools.empty());
  return CallBuilder(tools, options).build();
}

}  // namespace ft::grammar
