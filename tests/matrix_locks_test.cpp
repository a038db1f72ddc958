// The matrix over the locks of sync/ that know their owners, the capacity limiter and once.

#include <memory>
#include <utility>

#include "oneloop/sync/capacity_limiter.hpp"
#include "oneloop/sync/once.hpp"
#include "oneloop/sync/recursive_mutex.hpp"
#include "oneloop/sync/shared_mutex.hpp"
#include "tests/matrix.hpp"

namespace oneloop::matrix {

/// Whoever holds the lock alone is alone; those who share it never meet one. The thread sanitizer
/// looks, too.
struct guarded {
  int alone = 0;
  std::atomic<int> sharing{0};
  void enter(bool shared) {
    if (shared) {
      ++sharing;
      EXPECT_EQ(alone, 0) << where();
    } else {
      EXPECT_EQ(++alone, 1) << where();
      EXPECT_EQ(sharing, 0) << where();
    }
  }
  void leave(bool shared) { shared ? static_cast<void>(--sharing) : static_cast<void>(--alone); }
};

template <class Lock, lock_mode Mode>
struct owner_side {
  static constexpr bool shared = Mode == lock_mode::shared;
  Lock* m_;
  guarded* g_;
  std::decay_t<decltype([](Lock& l) {
    if constexpr (shared) {
      return l.try_lock_shared();
    } else {
      return l.try_lock();
    }
  }(std::declval<Lock&>()))>
      guard_{};
  auto operation(int) {
    if constexpr (shared) {
      return m_->lock_shared();
    } else {
      return m_->lock();
    }
  }
  bool finished(int, decltype(guard_)& g) {
    g_->enter(shared);
    guard_ = std::move(g);
    return true;
  }
  void call(int) {
    if (!guard_) return;
    g_->leave(shared);
    guard_.unlock();
  }
};

template <class Lock, lock_mode Subject, lock_mode Partner>
class owned_case : public primitive {
 public:
  static constexpr bool needs_kernel = false;
  owned_case() : primitive{{.by = completion::by_calling, .partner_holds = true}} {}
  std::unique_ptr<party> subject(model m) override { return make_party(m, one_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, other_); }
  std::size_t subjects_waiting() override {
    if constexpr (std::is_same_v<Lock, shared_mutex>) {
      const auto s = m_.statistics();
      return s.waiting_writers + s.waiting_readers;
    } else {
      return m_.statistics().waiting;
    }
  }
  void end_round(int) override {
    EXPECT_TRUE(m_.try_lock());
    EXPECT_EQ(g_.alone + g_.sharing, 0);
  }

 private:
  Lock m_;
  guarded g_;
  owner_side<Lock, Subject> one_{&m_, &g_};
  owner_side<Lock, Partner> other_{&m_, &g_};
};

struct recursive_case : owned_case<recursive_mutex, lock_mode::exclusive, lock_mode::exclusive> {
  static constexpr const char* name = "recursive_mutex";
};
struct writer_case : owned_case<shared_mutex, lock_mode::exclusive, lock_mode::shared> {
  static constexpr const char* name = "shared_mutex_writer";
};
struct reader_case : owned_case<shared_mutex, lock_mode::shared, lock_mode::exclusive> {
  static constexpr const char* name = "shared_mutex_reader";
};

class limiter_case : public primitive {
 public:
  static constexpr const char* name = "capacity_limiter";
  static constexpr bool needs_kernel = false;
  limiter_case() : primitive{{.by = completion::by_calling, .partner_holds = true}} {}
  std::unique_ptr<party> subject(model m) override { return make_party(m, one_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, other_); }
  std::size_t subjects_waiting() override { return l_.statistics().waiting; }
  void end_round(int) override { EXPECT_EQ(l_.borrowed(), 0u); }

 private:
  capacity_limiter l_{1};
  struct side {
    capacity_limiter* l_;
    limiter_permit permit_{};
    auto operation(int) { return l_->permit(); }
    bool finished(int, limiter_permit& p) {
      permit_ = std::move(p);
      return true;
    }
    void call(int) { permit_.give_back(); }
  } one_{&l_}, other_{&l_};
};

/// The partner has the turn; it is done with it in every other round, and gives up in the others.
class once_case : public primitive {
 public:
  static constexpr const char* name = "once";
  static constexpr bool needs_kernel = false;
  once_case() : primitive{{.by = completion::by_calling, .partner_holds = true}} {}
  std::unique_ptr<party> subject(model m) override { return make_party(m, one_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, other_); }
  std::size_t subjects_waiting() override { return o_->statistics().waiting; }
  void begin_round(int) override { o_ = std::make_unique<once>(); }
  void end_round(int) override { EXPECT_FALSE(o_->statistics().running); }

 private:
  std::unique_ptr<once> o_;  // another one each round
  struct side {
    std::unique_ptr<once>* o_;
    once_turn turn_{};
    auto operation(int) { return (*o_)->begin(); }
    bool finished(int, once_turn& t) {
      turn_ = std::move(t);
      return true;
    }
    void call(int round) {
      if (round % 2 == 0) turn_.done();
      turn_ = {};
    }
  } one_{&o_}, other_{&o_};
};

static const bool enrolled = enrol<recursive_case>() && enrol<writer_case>() &&
                             enrol<reader_case>() && enrol<limiter_case>() && enrol<once_case>();

}  // namespace oneloop::matrix
