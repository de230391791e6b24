// SPDX-License-Identifier: GPL-2.0-or-later
//
// The behaviour table, row by row, with real packets: who is reached, and as whom is he seen; what is refused, and what
// vanishes. Every row holds for IPv4 and IPv6, with bridged frames passing iptables or not, with a FORWARD policy of ACCEPT
// and of DROP. `build/dev/behaviour_tests` prints the table.
#include <gtest/gtest.h>

#include <array>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "tests/behaviour/probe.h"
#include "tests/behaviour/rows.h"
#include "tests/behaviour/setting.h"
#include "tests/support/snapshot.h"

namespace mb::test {
namespace {

struct Column {
  Circumstances circumstances;
  std::string name;
};

void PrintTo(const Column& column, std::ostream* out) { *out << column.name; }

const std::array<Column, 4> kColumns{{{{false, "ACCEPT"}, "Accept_BridgeNf0"},
                                      {{true, "ACCEPT"}, "Accept_BridgeNf1"},
                                      {{false, "DROP"}, "Drop_BridgeNf0"},
                                      {{true, "DROP"}, "Drop_BridgeNf1"}}};

// What was seen, for people. A cell says "ok" or what came instead.
class Report {
 public:
  void add(const std::string& row, const std::string& must, const std::string& column, Family family,
           const std::string& seen) {
    const Line line{row, must};  // the same question may have another answer in the other family
    if (!cells_.contains(line)) order_.push_back(line);
    cells_[line][{column, family}] = seen == must ? "ok" : "NO";
    if (seen != must) differences_.push_back(row + ", " + column + ", " + std::string(to_string(family)) + ": " + seen);
  }

  void print(std::ostream& out) const {
    if (order_.empty()) return;  // all skipped
    out << "\nThe behaviour table. A: policy of FORWARD is ACCEPT, D: it is DROP; 0, 1: bridge-nf-call-iptables; "
           "-: the row has no meaning there.\n\n";
    print_line(out, {"who → to whom", "must be"}, {"v4 A0", "A1", "D0", "D1", "v6 A0", "A1", "D0", "D1"});
    for (const auto& line : order_) {
      std::vector<std::string> cells;
      for (const auto family : {Family::v4, Family::v6}) {
        for (const auto& column : kColumns) cells.push_back(cell(line, column.name, family));
      }
      print_line(out, line, cells);
    }
    for (const auto& difference : differences_) out << "NO: " << difference << '\n';
    out << '\n';
  }

 private:
  struct Line {
    std::string row;
    std::string must;
    auto operator<=>(const Line&) const = default;
  };

  std::string cell(const Line& line, const std::string& column, Family family) const {
    const auto& cells = cells_.at(line);
    const auto found = cells.find({column, family});
    return found == cells.end() ? "-" : found->second;
  }

  static std::string padded(const std::string& text, std::size_t width) {
    // An arrow takes three bytes and one column.
    const auto arrows = text.find("→") == std::string::npos ? 0U : 2U;
    return text + std::string(width + arrows > text.size() ? width + arrows - text.size() : 0, ' ');
  }

  static void print_line(std::ostream& out, const Line& line, const std::vector<std::string>& cells) {
    out << "  " << padded(line.row, 46) << padded(line.must, 28);
    for (const auto& cell : cells) out << padded(cell, 6);
    out << '\n';
  }

  std::vector<Line> order_;
  std::map<Line, std::map<std::pair<std::string, Family>, std::string>> cells_;
  std::vector<std::string> differences_;
};

class Behaviour : public testing::TestWithParam<Column> {
 protected:
  static void SetUpTestSuite() { report_ = std::make_unique<Report>(); }
  static void TearDownTestSuite() {
    report_->print(std::cout);
    report_.reset();
  }

  void SetUp() override {
    if (GetParam().circumstances.bridge_nf && !Setting::kernel_has_bridge_nf()) {
      GTEST_SKIP() << "the kernel lacks br_netfilter";
    }
    setting_ = std::make_unique<Setting>(GetParam().circumstances);
    prober_ = std::make_unique<Prober>(*setting_);
  }

  void expect_rows(When when) {
    for (const auto& row : behaviour_rows()) {
      if (row.when != when) continue;
      for (const auto family : row.families) {
        const auto seen = prober_->try_row(row, family);
        EXPECT_EQ(seen, row.must) << title(row) << ", " << to_string(family);
        const auto prefix = when == When::input_closed ? "INPUT closed: " : "";
        report_->add(prefix + title(row), row.must, GetParam().name, family, seen);
      }
    }
  }

  /// Without what keeps a packet out it comes in, without what chooses its source it has another: the check can tell.
  void expect_that_checks_can_tell(Guard guard) {
    take_away(guard);
    for (const auto& row : behaviour_rows()) {
      if (row.guard != guard) continue;
      for (const auto family : row.families) {
        constexpr int kMostTries = 3;  // what is reached at all is reached sooner or later
        std::string outcome = row.must;
        for (int tries = 0; tries < kMostTries && outcome == row.must; ++tries) outcome = prober_->try_row(row, family);
        EXPECT_NE(outcome, row.must) << title(row) << ", " << to_string(family)
                                     << ": it was otherwise, but this test did not see it";
      }
    }
    put_back(guard);
  }

  std::unique_ptr<Setting> setting_;
  std::unique_ptr<Prober> prober_;

 private:
  static std::unique_ptr<Report> report_;
};

std::unique_ptr<Report> Behaviour::report_;

TEST_P(Behaviour, IsAsTheTableSays) {
  expect_rows(When::always);
  for (const auto guard : {Guard::forward, Guard::raw, Guard::loopback_ports, Guard::localnet, Guard::input,
                           Guard::isolated, Guard::source_address, Guard::no_masquerade}) {
    expect_that_checks_can_tell(guard);
  }
  Setting::close_input();
  expect_rows(When::input_closed);
  expect_that_checks_can_tell(Guard::closed_input);
  Setting::open_input();

  Program::must_mb("down");
  EXPECT_EQ(snapshot_host({.policy_counters = false}), setting_->host_before());
}

// docker switches it on when it starts; a distribution's sysctl.d may switch it off.
TEST(Siblings, OfIccFalseStayApartWhileOthersSwitchTheFilterOfBridges) {
  if (!Setting::kernel_has_bridge_nf()) GTEST_SKIP() << "the kernel lacks br_netfilter";
  Setting setting({false, "DROP"}, {"n1", "quiet"});
  Prober prober(setting);
  const auto expect_rows = [&](bool v4, bool v6) {
    Setting::filter_bridged_frames(Family::v4, v4);
    Setting::filter_bridged_frames(Family::v6, v6);
    for (const auto& row : behaviour_rows()) {
      if (!row.from.starts_with("q")) continue;
      for (const auto family : row.families) {
        EXPECT_EQ(prober.try_row(row, family), row.must)
            << title(row) << ", " << to_string(family) << ", IPv4 " << v4 << ", IPv6 " << v6;
      }
    }
  };
  for (const auto& [v4, v6] : {std::pair(false, false), {true, false}, {true, true}, {false, true}}) {
    expect_rows(v4, v6);
  }
}

INSTANTIATE_TEST_SUITE_P(Under, Behaviour, testing::ValuesIn(kColumns),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace mb::test
