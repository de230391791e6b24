// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/diff_rules.h"

#include <algorithm>
#include <string>
#include <vector>

#include "src/plan/rules.h"

namespace mb::plan {
namespace {

using Rules = std::vector<Rule>;
using Chains = std::map<std::string, Rules>;
using Kind = step::RuleEdit::Kind;

const Rules& find_chain(const Chains& chains, const std::string& name) {
  static const Rules kNone;
  const auto found = chains.find(name);
  return found == chains.end() ? kNone : found->second;
}

// Which rules of `actual` stay: the ones that also appear, in the same order, in `desired` (greedy: good enough,
// because whatever does not stay is put in again).
std::vector<bool> rules_that_stay(const Rules& desired, const Rules& actual) {
  std::vector<bool> stay(actual.size(), false);
  auto next = desired.begin();
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto found = std::find(next, desired.end(), actual[i]);
    if (found == desired.end()) continue;
    stay[i] = true;
    next = found + 1;
  }
  // A rule is removed by what it says, and the kernel takes the first that says it: of several alike that are one too
  // many, all go, so that none goes in place of another.
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (stay[i]) continue;
    for (std::size_t j = 0; j < actual.size(); ++j) stay[j] = stay[j] && actual[j] != actual[i];
  }
  return stay;
}

class TableDiff {
 public:
  TableDiff(TableKey key, const TableRules& desired, const TableRules& actual, const Scope& scope)
      : desired_(desired), actual_(actual), scope_(scope) {
    commit_.table = key;
  }

  step::CommitRules run() {
    for (const auto& [name, rules] : desired_.chains) {
      if (!actual_.chains.contains(name)) edit(Kind::add_chain, name);
    }
    const auto hooked = merged(desired_.hooks, actual_.hooks);
    for (const auto& [name, rules] : hooked) unhook(name);
    for (const auto& [name, rules] : merged(desired_.chains, actual_.chains)) diff_chain(name);
    for (const auto& [name, rules] : hooked) hook(name);
    for (const auto& [name, rules] : actual_.chains) {
      if (!desired_.chains.contains(name) && !is_kept(name)) edit(Kind::remove_chain, name);
    }
    return std::move(commit_);
  }

 private:
  static Chains merged(const Chains& a, const Chains& b) {
    Chains all = a;
    all.insert(b.begin(), b.end());
    return all;
  }

  // The operator's chain stays as long as there is something in it, even when it is not wanted any more.
  bool is_kept(const std::string& chain) const {
    return chain == kUserChain && !desired_.chains.contains(chain) && !find_chain(actual_.chains, chain).empty();
  }

  bool jumps_to_kept(const Rule& rule) const {
    const auto* jump = std::get_if<target::Jump>(&rule.target);
    return jump != nullptr && is_kept(jump->chain);
  }

  void edit(Kind kind, const std::string& chain, const Rule& rule = {}, std::size_t position = step::RuleEdit::kEnd) {
    commit_.edits.push_back({kind, chain, rule, position});
  }

  void remove_all_but(const std::string& chain, const Rules& rules, const std::vector<bool>& stay) {
    for (std::size_t i = rules.size(); i-- > 0;) {
      if (!stay[i]) edit(Kind::remove, chain, rules[i], i);
    }
  }

  // Which of our jumps in a built-in chain stay. Only jumps that end our order can: a missing one goes to the top, and
  // among foreign rules there is no telling where "after the second of ours" is.
  std::vector<bool> jumps_that_stay(const std::string& name) const {
    const auto& wanted = find_chain(desired_.hooks, name);
    const auto& present = find_chain(actual_.hooks, name);
    auto stay = rules_that_stay(wanted, present);
    Rules staying;
    for (std::size_t i = 0; i < present.size(); ++i) {
      if (stay[i]) staying.push_back(present[i]);
    }
    if (!std::equal(staying.rbegin(), staying.rend(), wanted.rbegin())) stay.assign(present.size(), false);
    return stay;
  }

  void unhook(const std::string& name) {
    const auto& present = find_chain(actual_.hooks, name);
    auto stay = jumps_that_stay(name);
    for (std::size_t i = 0; i < present.size(); ++i) stay[i] = stay[i] || jumps_to_kept(present[i]);
    remove_all_but(name, present, stay);
  }

  // Ours go to the top of a built-in chain, in our order. Once there, others may put rules before them.
  void hook(const std::string& name) {
    const auto& wanted = find_chain(desired_.hooks, name);
    const auto stay = jumps_that_stay(name);
    const auto missing = wanted.size() - static_cast<std::size_t>(std::count(stay.begin(), stay.end(), true));
    for (std::size_t at = 0; at < missing; ++at) edit(Kind::insert, name, wanted[at], at);
  }

  void diff_chain(const std::string& name) {
    if (name == kUserChain) return;
    if (is_by_owner(name)) {
      diff_by_owner(name);
      return;
    }
    const auto& wanted = find_chain(desired_.chains, name);
    const auto& present = find_chain(actual_.chains, name);
    const auto stay = rules_that_stay(wanted, present);
    remove_all_but(name, present, stay);
    std::size_t seen = 0;
    for (std::size_t at = 0; at < wanted.size(); ++at) {
      while (seen < present.size() && !stay[seen]) ++seen;
      if (seen < present.size() && present[seen] == wanted[at]) {
        ++seen;
      } else {
        edit(Kind::insert, name, wanted[at], seen == present.size() ? step::RuleEdit::kEnd : at);
      }
    }
  }

  void diff_by_owner(const std::string& name) {
    auto missing = find_chain(desired_.chains, name);
    const auto& present = find_chain(actual_.chains, name);
    const bool whole_chain_goes = !desired_.chains.contains(name);
    std::vector<bool> stay(present.size(), true);
    bool after_a_port = false;
    Rules misplaced;
    for (std::size_t i = 0; i < present.size(); ++i) {
      const auto wanted = std::find(missing.begin(), missing.end(), present[i]);
      after_a_port = after_a_port || !is_exception(present[i]);
      if (is_exception(present[i]) && after_a_port) misplaced.push_back(present[i]);
      if (wanted != missing.end()) {
        missing.erase(wanted);
      } else if (whole_chain_goes || scope_.everything || scope_.owners.contains(std::string(owner_of(present[i])))) {
        stay[i] = false;
      }
    }
    // The kernel takes out the first that says the same, so where one is misplaced all alike go, and one comes back.
    for (const auto& rule : misplaced) {
      if (std::find(missing.begin(), missing.end(), rule) == missing.end() && is_wanted(name, rule)) {
        missing.push_back(rule);
      }
      for (std::size_t i = 0; i < present.size(); ++i) stay[i] = stay[i] && present[i] != rule;
    }
    remove_all_but(name, present, stay);
    for (const auto& rule : missing) {
      edit(Kind::insert, name, rule, is_exception(rule) ? 0 : step::RuleEdit::kEnd);
    }
  }

  bool is_wanted(const std::string& chain, const Rule& rule) const {
    const auto& wanted = find_chain(desired_.chains, chain);
    return std::find(wanted.begin(), wanted.end(), rule) != wanted.end();
  }

  // Published ports have no order among them, but what is never one comes before all.
  static bool is_exception(const Rule& rule) { return std::holds_alternative<target::Return>(rule.target); }

  const TableRules& desired_;
  const TableRules& actual_;
  const Scope& scope_;
  step::CommitRules commit_;
};

}  // namespace

std::optional<step::CommitRules> diff_table(TableKey key, const TableRules& desired, const TableRules& actual,
                                            const Scope& scope) {
  if (desired == actual) return std::nullopt;  // as it mostly is, and comparing costs less than looking for what to do
  auto commit = TableDiff(key, desired, actual, scope).run();
  if (commit.edits.empty()) return std::nullopt;
  return commit;
}

}  // namespace mb::plan
