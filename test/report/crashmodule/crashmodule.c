// SPDX-License-Identifier: GPL-2.0-only
/*
 * crashmodule makes the kernel crash in one of several ways, for the tests of crash reports:
 *
 *	echo KIND > /sys/module/crashmodule/parameters/crash
 *
 * Each kind has functions of its own. The compiler leaves each as it is, so that a stack tells which it was.
 */
#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#define AS_IS noinline __attribute__((noipa))

struct crash_item {
	struct list_head list;
	int value;
};

/* Volatile, so that the compiler can't know what it points to. */
static struct crash_item *volatile crash_nowhere;
static volatile unsigned long crash_number;

static AS_IS int crash_read(struct crash_item *item)
{
	return item->value;
}

/* A plain NULL dereference, three functions deep. */
static AS_IS int crash_null_inner(void)
{
	return crash_read(crash_nowhere) + 1;
}

static AS_IS int crash_null(void)
{
	return crash_null_inner() + 1;
}

/* The same fault in a timer's function: in softirq context, on top of whatever ran. */
static AS_IS void crash_timer_function(struct timer_list *timer)
{
	crash_number = crash_read(crash_nowhere);
}

static DEFINE_TIMER(crash_timer, crash_timer_function);

static AS_IS void crash_work_function(struct work_struct *work)
{
	crash_number = crash_read(crash_nowhere);
}

static DECLARE_WORK(crash_work, crash_work_function);

/* An item that is added twice, its list having been overwritten meanwhile. */
static AS_IS int crash_list(void)
{
	static LIST_HEAD(head);
	static struct crash_item a, b;

	list_add(&a.list, &head);
	a.list.prev = (struct list_head *)&b;
	list_del(&a.list);
	return a.value + b.value;
}

static AS_IS int crash_bug(void)
{
	BUG_ON(crash_number == 0);
	return 1;
}

static AS_IS int crash_warn(void)
{
	WARN(crash_number == 0, "the number is %lu\n", crash_number);
	return 1;
}

#pragma GCC diagnostic ignored "-Winfinite-recursion"

/* Each call takes a quarter of a kilobyte, which the compiler must not see to be unused. */
static AS_IS unsigned long crash_recurse(unsigned long depth)
{
	volatile char room[256];

	room[depth % sizeof(room)] = depth;
	return crash_recurse(depth + 1) + room[(depth + 1) % sizeof(room)];
}

static AS_IS unsigned long crash_stack(void)
{
	return crash_recurse(crash_number) + 1;
}

/* A CPU that does not schedule. */
static AS_IS int crash_spin(void)
{
	while (!crash_number)
		cpu_relax();
	return 1;
}

static AS_IS int crash_soft_lockup(void)
{
	int r;

	preempt_disable();
	r = crash_spin();
	preempt_enable();
	return r;
}

static AS_IS int crash_hard_lockup(void)
{
	int r;

	local_irq_disable();
	r = crash_spin();
	local_irq_enable();
	return r;
}

/* Two tasks, of which the second waits for a mutex that the first never gives back. */
static DEFINE_MUTEX(crash_mutex);

static AS_IS int crash_wait_for_mutex(void *unused)
{
	mutex_lock(&crash_mutex);
	mutex_unlock(&crash_mutex);
	return 0;
}

static AS_IS int crash_hung_task(void)
{
	struct task_struct *task;

	mutex_lock(&crash_mutex);
	task = kthread_run(crash_wait_for_mutex, NULL, "crash_waiter");
	return IS_ERR(task) ? PTR_ERR(task) : 0;
}

/* A use of freed memory: its pointer has become a pattern that is no address. */
static AS_IS int crash_general_protection(void)
{
	struct crash_item *item = (struct crash_item *)(0xdead000000000100UL + crash_number);

	return crash_read(item) + 1;
}

static AS_IS int crash_page_fault(void)
{
	struct crash_item *item = (struct crash_item *)(0xffffa00000000000UL + crash_number);

	return crash_read(item) + 1;
}

/* Others than x86 have no trap for it. */
static AS_IS unsigned long crash_divide(void)
{
	unsigned long one = 1;
#ifdef CONFIG_X86
	unsigned long rest = 0;

	asm volatile("divq %2" : "+a"(one), "+d"(rest) : "r"(crash_number) : "cc");
#endif
	return one;
}

static AS_IS int crash_invalid_opcode(void)
{
#if defined(CONFIG_X86)
	asm volatile("ud2");
#elif defined(CONFIG_ARM64)
	asm volatile(".inst 0");
#else
	asm volatile(".4byte 0");
#endif
	return crash_number + 1;
}

static AS_IS void crash_sleep_atomic(void)
{
	preempt_disable();
	msleep(1);
	preempt_enable();
}

static AS_IS int crash_call_nowhere(void)
{
	int (*nowhere)(void) = (int (*)(void))crash_number;

	return nowhere() + 1;
}

/* The compiler must not know that it does not return: the return address would be that of the next function. */
static void (*volatile crash_fatal)(const char *format, ...) = panic;

static AS_IS int crash_panic(void)
{
	crash_fatal("crashmodule: no %s", "way on");
	return 1;
}

static int crash_set(const char *value, const struct kernel_param *kp)
{
	if (sysfs_streq(value, "null"))
		return crash_null() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "timer")) {
		mod_timer(&crash_timer, jiffies + HZ / 10);
		return 0;
	}
	if (sysfs_streq(value, "work"))
		return schedule_work(&crash_work) ? 0 : -EBUSY;
	if (sysfs_streq(value, "list"))
		return crash_list() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "bug"))
		return crash_bug() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "warn"))
		return crash_warn() > 0 ? 0 : -EINVAL;
	if (sysfs_streq(value, "stack"))
		return crash_stack() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "softlockup"))
		return crash_soft_lockup() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "hardlockup"))
		return crash_hard_lockup() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "hungtask"))
		return crash_hung_task();
	if (sysfs_streq(value, "gp"))
		return crash_general_protection() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "fault"))
		return crash_page_fault() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "divide"))
		return crash_divide() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "opcode"))
		return crash_invalid_opcode() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "atomic")) {
		crash_sleep_atomic();
		return 0;
	}
	if (sysfs_streq(value, "call"))
		return crash_call_nowhere() > 0 ? -EINVAL : 0;
	if (sysfs_streq(value, "panic"))
		return crash_panic() > 0 ? -EINVAL : 0;
	return -EINVAL;
}

static const struct kernel_param_ops crash_ops = { .set = crash_set };

module_param_cb(crash, &crash_ops, NULL, 0200);
MODULE_PARM_DESC(crash, "which way to crash");

static int __init crashmodule_init(void)
{
	return 0;
}

static void __exit crashmodule_exit(void)
{
}

module_init(crashmodule_init);
module_exit(crashmodule_exit);

MODULE_DESCRIPTION("Crashes the kernel, for tests");
MODULE_LICENSE("GPL");
