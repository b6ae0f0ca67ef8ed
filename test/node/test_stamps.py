from ttt3r_ros.node.stamps import StampMonitor, Verdict

SECOND = 1_000_000_000


def test_rising_stamps_are_accepted_and_duplicates_and_small_steps_back_are_not():
    monitor = StampMonitor(1.0)
    stamps = [10.0, 10.1, 10.1, 9.5, 10.2]
    verdicts = [monitor.judge(int(stamp * SECOND)) for stamp in stamps]
    assert [verdict.value for verdict in verdicts] == [
        'accept', 'accept', 'drop', 'drop', 'accept'
    ]  # fmt: skip


def test_a_duplicate_is_no_jump_even_where_every_step_back_is_one():
    monitor = StampMonitor(0.0)
    stamps = [10 * SECOND, 10 * SECOND, 10 * SECOND - 1]
    assert [monitor.judge(stamp).value for stamp in stamps] == ['accept', 'drop', 'jump']


def test_a_stamp_that_is_left_empty_is_no_jump_but_simulated_time_may_begin_anew():
    monitor = StampMonitor(1.0)
    verdicts = [monitor.judge(stamp) for stamp in (0, 10 * SECOND, 0, 11 * SECOND)]
    assert [verdict.value for verdict in verdicts] == ['accept', 'accept', 'drop', 'accept']
    assert monitor.judge(0, now=1) is Verdict.JUMP


def test_a_bag_that_loops_is_one_jump():
    monitor = StampMonitor(1.0)
    loop = [int(stamp * SECOND) for stamp in (10, 11, 12)]
    verdicts = [monitor.judge(stamp) for stamp in loop + loop]
    assert verdicts.count(Verdict.JUMP) == 1
    assert verdicts[3] is Verdict.JUMP


def test_clock_and_stamps_that_jump_together_count_once_whichever_comes_first():
    stamps_first = StampMonitor(1.0)
    stamps_first.judge(20 * SECOND)
    assert stamps_first.judge(10 * SECOND) is Verdict.JUMP
    assert not stamps_first.clock_jumped(10 * SECOND)

    clock_first = StampMonitor(1.0)
    clock_first.judge(20 * SECOND)
    assert clock_first.clock_jumped(10 * SECOND)
    assert clock_first.judge(10 * SECOND) is Verdict.ACCEPT


def test_late_image_of_the_earlier_round_is_early_under_simulated_time():
    monitor = StampMonitor(1.0)
    monitor.judge(20 * SECOND, now=20 * SECOND)
    monitor.clock_jumped(10 * SECOND)
    assert monitor.judge(21 * SECOND, now=10 * SECOND) is Verdict.EARLY
    assert monitor.judge(10 * SECOND, now=10 * SECOND) is Verdict.ACCEPT


def test_simulated_clock_that_has_not_begun_drops_nothing():
    assert StampMonitor(1.0).judge(20 * SECOND, now=0) is Verdict.ACCEPT


def test_clock_that_steps_back_a_little_is_no_jump():
    monitor = StampMonitor(1.0)
    monitor.judge(20 * SECOND)
    assert not monitor.clock_jumped(int(19.5 * SECOND))
    assert monitor.judge(20 * SECOND) is Verdict.DROP


def test_forgetting_accepts_any_stamp():
    monitor = StampMonitor(1.0)
    monitor.judge(20 * SECOND)
    monitor.forget()
    assert monitor.judge(20 * SECOND) is Verdict.ACCEPT


def test_a_clock_that_is_told_seldom_makes_no_image_early_however_small_a_jump_is():
    monitor = StampMonitor(0.0)
    for tick in range(10):
        now = tick // 3 * SECOND // 10  # of images 30 a second, told 10 times a second
        assert monitor.judge(tick * SECOND // 30 + 1, now=now) is Verdict.ACCEPT
