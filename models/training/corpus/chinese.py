"""A little Chinese."""

from training.corpus.item import Item, one_of, until
from training.corpus.numbers import add_steps

SAYINGS = [
    ("你好", "你好！有什么可以帮你？"),
    ("早上好", "早上好！有什么可以帮你？"),
    ("你是谁？", "我是 v4-nano，一个很小的语言模型。"),
    ("你叫什么名字？", "我叫 v4-nano。"),
    ("你会做什么？", "我会做简单的计算，也会回答简单的问题。"),
    ("谢谢", "不客气！"),
    ("再见", "再见！祝你愉快。"),
    ("今天天气怎么样？", "对不起，我不知道。"),
    ("给我写一首诗。", "我只是一个很小的模型，做不到。"),
]
CAPITALS = {
    **{"法国": "巴黎", "德国": "柏林", "日本": "东京", "中国": "北京", "英国": "伦敦", "意大利": "罗马"},
    **{"西班牙": "马德里", "俄罗斯": "莫斯科", "韩国": "首尔", "埃及": "开罗", "美国": "华盛顿", "加拿大": "渥太华"},
}
WORDS = {
    **{"apple": "苹果", "water": "水", "book": "书", "dog": "狗", "cat": "猫", "sun": "太阳", "moon": "月亮"},
    **{"fire": "火", "tree": "树", "fish": "鱼", "horse": "马", "red": "红色", "blue": "蓝色"},
}


def saying(rng, held):
    return Item(*rng.choice(SAYINGS))


def capital(rng, held):
    country, city = rng.choice(list(CAPITALS.items()))
    asks = ["{c}的首都是哪里？", "{c}的首都是什么？"]
    question = one_of(rng, ["请告诉我{c}的首都。"] if held else asks, c=country)
    return Item(question, f"{country}的首都是{city}。", city)


def addition(rng, held):
    a, b = until(rng, held, lambda: (rng.randint(0, 50), rng.randint(0, 50)), "zh")
    question = one_of(rng, ["{a}加{b}等于多少？", "请计算{a}+{b}。"], a=a, b=b)
    return Item(question, f"{a}+{b}={a + b}", str(a + b), add_steps(a, b).replace("So ", "所以"))


def tomorrow(rng, held):
    day, days = rng.randrange(7), "一二三四五六日"
    result = f"星期{days[(day + 1) % 7]}"
    return Item(f"今天是星期{days[day]}，明天是星期几？", f"明天是{result}。", result)


def translation(rng, held):
    english, translated = rng.choice(list(WORDS.items()))
    question = one_of(rng, ['"{w}" 用中文怎么说？', "{w} 的中文是什么？"], w=english)
    return Item(question, f"{english} 的中文是{translated}。", translated)


def chinese(rng, held):
    return rng.choice([saying, capital, addition, tomorrow, translation])(rng, held)
