"""Names, words and other closed lists that conversations are made of."""

NAMES = """
Anna Ben Carla David Emma Felix Grace Henry Ivy Jack Karen Leo Maria Nina Oscar Paula Quinn Rosa Sam Tina
Umar Vera Will Xena Yusuf Zoe Alice Bob Clara Dan Ella Frank Gina Hugo Iris Jonas Kate Liam Mona Noah Olga
Peter Rita Simon Tara Victor Wendy Adam Bella Chris Diana Eric Fiona George Hannah Ian Julia Kevin Laura
Mark Nora Owen Penny Ralph Sara Tom Ursula Vince Amir Bianca Cyrus Daria Elias Freya Gavin Helga Igor Jana
Kurt Lena Milo Nadia Otto Petra Ruben Sonia Theo Uma Viktor Walter Yara Zack Aisha Boris Chloe Dora Ethan
Flora Greta Hassan Ines Jakob Kira Lukas Mira Nils Oleg Pia Rafael Selma Timo
""".split()

WORDS = """
acorn anchor apple basket beach berry blade block board boat bottle bowl box brain bread brick bridge broom
brush butter cabin cake camera canal candle candy cape card carpet castle chain chair chalk cheese cherry
chest chicken circle city clay cliff clock cloud coast coin copper coral corn cotton couch crab crown cup
dance deer desert desk dish dog door dragon dream drum duck eagle earth egg engine fabric farm feather fence
field fire fish flag floor flower flute forest fork fox frog fruit game garden gate ghost glass glove goat
goblet gold goose grape grass green guitar hammer hat heart helmet hill honey horse hotel house ice ink
insect iron island jacket jar juice jungle kettle key king kite kitten knife ladder lake lamp leaf lemon
letter light lion lock magnet map marble market meadow milk mill mirror monkey moon mouse museum music nail
napkin needle nest night nut ocean office onion orange owl oyster paddle page paint palace paper park parrot
path pearl pen pencil pepper phone piano pig pillow pine pipe pirate planet plant plate pocket poem pond
pony potato prince puzzle queen rabbit radio rain record ribbon ring river road robot rocket roof room root
rope rose saddle sail salmon salt sand saucer scarf school seed shadow shell ship shirt shoe shop signal
silver singer sky snake snow soap soccer sock song soup spider sponge spoon spring square star statue stone
storm street string sugar summer summit sun sunset swan sword table tablet tail talent target teapot temple
tennis tent thunder ticket tiger timber tomato towel toy train tree truck trumpet tunnel turtle uncle valley
vase velvet vessel village violet violin wagon wall walnut watch water wave whale wheel willow wind window
wine wing winner winter wizard wolf wood wool yellow yogurt zebra
""".split()

CITIES = """
Paris London Berlin Madrid Rome Vienna Oslo Cairo Tokyo Lima Delhi Seoul Athens Dublin Prague Warsaw Lisbon
Moscow Beijing Toronto Sydney Boston Chicago Denver Miami Seattle Dallas Houston Geneva Munich Hamburg Milan
Naples Porto Kyoto Osaka Quito Bogota Havana Nairobi Lagos Accra Tunis Riga Bern Sofia Zagreb Helsinki Lyon
Dakar Austin Phoenix
""".split()

JOBS = """
teacher doctor baker farmer pilot nurse writer painter lawyer driver singer engineer chef dentist gardener
plumber carpenter librarian photographer scientist tailor judge actor sailor waiter
""".split()

COLORS = """
red blue green yellow purple orange black white brown pink gray silver
""".split()

ANIMALS = """
cat dog horse rabbit parrot hamster turtle goat pony duck goose fish lizard snake mouse owl sheep pig cow
ferret
""".split()

FOODS = """
pizza soup rice pasta bread salad cheese curry noodles pancakes apples grapes cake chocolate honey fish
""".split()

HOBBIES = """
reading swimming chess cooking painting hiking dancing running fishing gardening singing knitting cycling
skiing sailing
""".split()

DAYS = """
Monday Tuesday Wednesday Thursday Friday Saturday Sunday
""".split()

MONTHS = """
January February March April May June July August September October November December
""".split()

DAYS_OF_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
